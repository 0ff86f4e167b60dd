package admin

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// keyShape finds text that looks like a key of the service, whole or with its
// end cut off. It is wider than the service's own parser on purpose: it
// refuses and redacts, it never admits.
type keyShape struct{ pattern, whole *regexp.Regexp }

func newKeyShape(prefix string, envs []apikey.Environment) *keyShape {
	names := make([]string, len(envs))
	for i, e := range envs {
		names[i] = regexp.QuoteMeta(e.Name)
	}
	tail := `_(?:` + strings.Join(names, "|") + `)_[0-9A-Za-z]{16}_[0-9A-Za-z]`
	return &keyShape{
		pattern: regexp.MustCompile(`[A-Za-z0-9_]+` + tail + `{8,}`),
		whole:   regexp.MustCompile(regexp.QuoteMeta(prefix) + tail + `{44}`),
	}
}

// tokens returns the whole keys that stand in a text, at most so many.
func (s *keyShape) tokens(text string, most int) (all []string) {
	for _, token := range s.whole.FindAllString(text, -1) {
		if len(all) < most && !slices.Contains(all, token) {
			all = append(all, token)
		}
	}
	return all
}

// in reports whether text holds a key.
func (s *keyShape) in(text string) bool { return s.pattern.MatchString(text) }

// redact takes keys out of a text that goes to the client or the log.
func (s *keyShape) redact(text string) string {
	return s.pattern.ReplaceAllLiteralString(text, "[redacted]")
}

// inAuthorization reports whether a request is signed with an API key, as a
// bearer token, in Basic credentials, or in any other scheme.
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
