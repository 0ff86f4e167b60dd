package admin

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/wontopos/latchkey"
)

// keyShape finds text that looks like a key of the service, whole or truncated.
// It deliberately matches more than the service's own parser: it refuses and
// redacts, and never admits.
type keyShape struct {
	redact func(text string) string // removes the secrets from a text that is stored, shown or logged
	whole  *regexp.Regexp
}

func newKeyShape(keys *latchkey.Service) *keyShape {
	var names []string
	for _, e := range keys.Environments() {
		names = append(names, regexp.QuoteMeta(e.Name))
	}
	whole := regexp.QuoteMeta(keys.Prefix()) + `_(?:` + strings.Join(names, "|") + `)_[0-9A-Za-z]{16}_[0-9A-Za-z]{44}`
	return &keyShape{keys.Redact, regexp.MustCompile(whole)}
}

// tokens returns the whole keys in a text, up to a maximum number.
func (s *keyShape) tokens(text string, most int) (all []string) {
	for _, token := range s.whole.FindAllString(text, -1) {
		if len(all) < most && !slices.Contains(all, token) {
			all = append(all, token)
		}
	}
	return all
}

// in reports whether text contains a key.
func (s *keyShape) in(text string) bool { return s.redact(text) != text }

// redactedID matches the id of a key whose secret was removed from a text.
var redactedID = regexp.MustCompile(`([0-9A-Za-z]{16})(?:_|%(?:25)*5[Ff])\[redacted\]`)

// search returns the text to search for: of a key, only the id.
func (s *keyShape) search(text string) string {
	text = strings.TrimSpace(text)
	clean := s.redact(text)
	if id := redactedID.FindStringSubmatch(clean); clean != text && id != nil {
		return id[1]
	}
	return clean
}

// inAuthorization reports whether a request carries an API key as a bearer
// token, in Basic credentials, or in any other scheme.
func (s *keyShape) inAuthorization(header http.Header) bool {
	for _, value := range header.Values("Authorization") {
		if s.in(value) {
			return true
		}
		_, credentials, _ := strings.Cut(value, " ")
		basic, err := base64.StdEncoding.DecodeString(strings.TrimSpace(credentials))
		if err == nil && s.in(string(basic)) {
			return true
		}
	}
	return false
}
