package middleware

import (
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
	in := func(p place) bool {
		return slices.ContainsFunc(extractors, func(e Extractor) bool { return e.place == p })
	}
	// A 401 must have a challenge: Bearer if the key comes some other way.
	basic, bearer := "Basic"+realm+`, charset="UTF-8"`, "Bearer"+realm
	basicOnly := in(inBasic) && !in(inBearer)
	var c challenges
	for _, code := range apikey.Codes() {
		switch e := code.Info().BearerError; {
		case basicOnly && (code == apikey.MissingKey || e == "invalid_token"):
			c.byCode[code] = basic
		case basicOnly || e == "insufficient_scope":
		case code == apikey.MissingKey: // no error attribute: RFC 6750, section 3.1
			c.byCode[code] = bearer
		case e != "":
			c.byCode[code] = bearer + `, error="` + e + `"`
		}
	}
	if !basicOnly {
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
	if o.Code == apikey.InsufficientScope && c.scopeFor != "" {
		return c.scopeFor + o.need.String() + `"`
	}
	return c.byCode[o.Code]
}

const (
	problemType = "application/problem+json"
	noStore     = "no-store"
)

// EachField calls set with every response field of the outcome: the state of
// the limits, and for a refusal Content-Type, Cache-Control, WWW-Authenticate
// and Retry-After.
func (o *Outcome) EachField(set func(name, value string)) {
	o.eachRateLimit(set)
	if o.Allowed() {
		return
	}
	set("Content-Type", problemType)
	set("Cache-Control", noStore)
	if c := o.Challenge(); c != "" {
		set("WWW-Authenticate", c)
	}
	if s := o.RetryAfter(); s > 0 {
		set("Retry-After", string(appendUint(nil, s)))
	}
}
