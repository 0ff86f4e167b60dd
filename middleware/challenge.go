package middleware

import (
	"iter"
	"slices"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// challenges are the precomputed values of WWW-Authenticate.
type challenges struct {
	byCode   [1 << 8]string // empty where there is none
	scopeFor string         // followed by the scopes and a quote
}

func newChallenges(realm string, extractors []Extractor) challenges {
	realm = ` realm="` + quoteEscaper.Replace(realm) + `"`
	// A 401 must have a challenge: Bearer, unless keys come with another scheme and
	// not as Bearer. Only Bearer has attributes that say more.
	bearer, other := "Bearer"+realm, ""
	for _, e := range slices.Backward(extractors) {
		switch {
		case e.place == inBasic:
			other = "Basic" + realm + `, charset="UTF-8"`
		case e.place == inScheme && e.name != "":
			other = e.name + realm
		}
	}
	if slices.ContainsFunc(extractors, func(e Extractor) bool { return e.place == inBearer }) {
		other = ""
	}
	var c challenges
	for _, code := range apikey.Codes() {
		switch e := code.Info().BearerError; {
		case other != "" && (code == apikey.MissingKey || e == "invalid_token"):
			c.byCode[code] = other
		case other != "" || e == "insufficient_scope":
		case code == apikey.MissingKey: // no error attribute: RFC 6750, section 3.1
			c.byCode[code] = bearer
		case e != "":
			c.byCode[code] = bearer + `, error="` + e + `"`
		}
	}
	if other == "" {
		c.scopeFor = bearer + `, error="insufficient_scope", scope="`
	}
	return c
}

// quoteEscaper escapes what must be escaped in a quoted-string.
var quoteEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// Challenge returns the value of WWW-Authenticate, or "" if the refusal has
// none.
func (o *Outcome) Challenge() string {
	c := &o.of().challenges
	code := o.Code()
	if code == apikey.InsufficientScope && c.scopeFor != "" {
		return c.scopeFor + o.needs().String() + `"`
	}
	return c.byCode[code]
}

const (
	problemType = "application/problem+json"
	noStore     = "no-store"
)

// ResponseFields yields every field that the response gets: the state of the
// limits, what caches must know, and for a refusal Content-Type, Cache-Control,
// WWW-Authenticate and Retry-After. Set each, but add Vary to what others have
// set there. A handler may replace Cache-Control.
func (o *Outcome) ResponseFields() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		more := true
		set := func(name, value string) {
			if more && value != "" {
				more = yield(name, value)
			}
		}
		o.eachRateLimit(set)
		if o.varies {
			set("Vary", o.of().vary)
		}
		if o.Allowed() {
			if o.private {
				set("Cache-Control", "private")
			}
			return
		}
		set("Content-Type", problemType)
		set("Cache-Control", noStore)
		set("WWW-Authenticate", o.Challenge())
		if s := o.RetryAfter(); s > 0 {
			set("Retry-After", string(appendUint(nil, s)))
		}
	}
}

// fieldsOf names the header fields in which keys come.
func fieldsOf(extractors []Extractor) string {
	var names []string
	for _, e := range extractors {
		if field := e.field(); field != "" && !slices.Contains(names, field) {
			names = append(names, field)
		}
	}
	return strings.Join(names, ", ")
}
