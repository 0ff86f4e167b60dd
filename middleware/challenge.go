package middleware

import (
	"slices"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// challenges are the values of WWW-Authenticate, made once.
type challenges struct {
	missing  string            // no error attribute: RFC 6750, section 3.1
	byError  map[string]string // by the error attribute
	scopeFor string            // goes on with the scopes and a quote
}

func newChallenges(realm string, extractors []Extractor) challenges {
	realm = ` realm="` + quoteEscaper.Replace(realm) + `"`
	in := func(p place) bool {
		return slices.ContainsFunc(extractors, func(e Extractor) bool { return e.place == p })
	}
	// A 401 has to have a challenge: Bearer where the key stands elsewhere.
	if in(inBasic) && !in(inBearer) {
		basic := "Basic" + realm + `, charset="UTF-8"`
		return challenges{missing: basic, byError: map[string]string{"invalid_token": basic}}
	}
	bearer := "Bearer" + realm
	c := challenges{missing: bearer, byError: make(map[string]string), scopeFor: bearer + `, error="insufficient_scope", scope="`}
	for _, e := range []string{"invalid_request", "invalid_token"} {
		c.byError[e] = bearer + `, error="` + e + `"`
	}
	return c
}

// quoteEscaper escapes what a quoted-string has to.
var quoteEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// Challenge returns the value of WWW-Authenticate, empty when the refusal has
// none.
func (o *Outcome) Challenge() string {
	c := &o.guard.challenges
	switch info := o.Code.Info(); {
	case o.Code == apikey.MissingKey:
		return c.missing
	case o.Code == apikey.InsufficientScope:
		if c.scopeFor == "" {
			return ""
		}
		return c.scopeFor + o.need.String() + `"`
	default:
		return c.byError[info.BearerError]
	}
}

// EachField calls set with every response field of the outcome: the state of
// the limits, and for a refusal Content-Type, Cache-Control, WWW-Authenticate
// and Retry-After.
func (o *Outcome) EachField(set func(name, value string)) {
	o.eachRateLimit(set)
	if o.Allowed() {
		return
	}
	set("Content-Type", "application/problem+json")
	set("Cache-Control", "no-store")
	if c := o.Challenge(); c != "" {
		set("WWW-Authenticate", c)
	}
	if s := o.RetryAfter(); s > 0 {
		set("Retry-After", string(appendUint(nil, s)))
	}
}
