package middleware

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// ProblemTypeBase begins the "type" of every problem document; the name of the
// code follows.
const ProblemTypeBase = "https://github.com/wontopos/latchkey/blob/main/docs/errors.md#"

// AppendProblem appends the body of a refusal, an RFC 9457 problem document. It
// contains nothing of the key and no error's text; requestID may be empty.
func (o *Outcome) AppendProblem(dst []byte, requestID string) []byte {
	var p problem
	code := o.Code()
	if int(code) < len(o.of().problems) {
		p = o.of().problems[code]
	}
	switch {
	case p.rest != "":
		return appendEnd(append(append(dst, p.head...), p.rest...), requestID)
	case p.head != "":
		dst = o.appendRest(append(dst, p.head...))
	default: // not the code of a request
		dst = o.appendRest(o.appendHead(dst))
	}
	switch code {
	case apikey.RateLimited:
		dst = appendList(dst, "violated-policies", o.violated())
	case apikey.InsufficientScope:
		dst = appendList(dst, "required_scopes", strings.Fields(o.needs().String()))
		dst = appendList(dst, "missing_scopes", o.MissingScopes())
	case apikey.EnvironmentMismatch:
		dst = append(dst, `,"environment":`...)
		dst = appendJSON(dst, o.presented.Environment())
		if url := o.BaseURL(); url != "" {
			dst = append(dst, `,"base_url":`...)
			dst = appendJSON(dst, url)
		}
	}
	return appendEnd(dst, requestID)
}

// problem is the part of a problem document that is the same for every refusal
// with its code. It is computed in advance, so that a flood of refusals costs
// little.
type problem struct {
	head string // type, title and status
	rest string // detail and code; empty if the detail depends on the request
}

func (g *Guard) prepareProblems() {
	for code := range g.problems {
		o := Outcome{code: apikey.Code(code), guard: g}
		g.problems[code].head = string(o.appendHead(nil))
		switch o.code {
		case apikey.EnvironmentMismatch, apikey.InsufficientScope, apikey.RateLimited:
		default:
			g.problems[code].rest = string(o.appendRest(nil))
		}
	}
}

func (o *Outcome) appendHead(dst []byte) []byte {
	info := o.Code().Info()
	dst = append(dst, `{"type":`...)
	dst = appendJSON(dst, ProblemTypeBase+info.Name)
	dst = append(dst, `,"title":`...)
	dst = appendJSON(dst, info.Title)
	dst = append(dst, `,"status":`...)
	return appendUint(dst, int64(info.Status))
}

func (o *Outcome) appendRest(dst []byte) []byte {
	dst = append(dst, `,"detail":`...)
	dst = appendJSON(dst, o.Detail())
	dst = append(dst, `,"code":`...)
	return appendJSON(dst, o.Code().Info().Name)
}

func appendEnd(dst []byte, requestID string) []byte {
	if requestID != "" {
		dst = append(dst, `,"request_id":`...)
		dst = appendJSON(dst, requestID)
	}
	return append(dst, '}', '\n')
}

// Detail says in words why the request was refused and what to do next.
func (o *Outcome) Detail() string {
	switch o.Code() {
	case apikey.MissingKey:
		return "This request needs an API key. Send it as " + o.of().howToSend() + "."
	case apikey.MalformedRequest:
		return "The credentials of this request are malformed or stand twice. Send exactly one API key, as " + o.of().howToSend() + "."
	case apikey.InvalidKey:
		return "This API key is not valid. Check that it was copied whole; if it was, create a new one."
	case apikey.ExpiredKey:
		return "This API key or secret has expired. Use the newest secret of the key, or create a new key."
	case apikey.DisabledKey:
		return "This API key is disabled. Whoever manages it can enable it again."
	case apikey.RevokedKey:
		return "This API key was revoked, which is final. Create a new one."
	case apikey.EnvironmentMismatch:
		return o.mismatchDetail()
	case apikey.NetworkNotAllowed:
		return "This API key may not be used from this network. Call from an allowed one, or add this one to the key."
	case apikey.InsufficientScope:
		return o.scopeDetail()
	case apikey.RateLimited:
		return o.limitDetail()
	case apikey.Unavailable:
		return "The API key cannot be checked right now. It may be good: keep it, and try again after the time in Retry-After."
	}
	return o.Title() + "."
}

// howToSend names the first place from which keys are taken.
func (g *Guard) howToSend() string {
	switch e := g.o.Extractors[0]; e.place {
	case inHeader:
		return "\"" + e.name + ": YOUR_KEY\""
	case inCookie:
		return "the cookie \"" + e.name + "\""
	case inBasic:
		return "the user name of Basic authentication"
	case inQuery:
		return "the query parameter \"" + e.name + "\""
	}
	return "\"Authorization: Bearer YOUR_KEY\""
}

func (o *Outcome) scopeDetail() string {
	missing := o.MissingScopes()
	switch {
	case o.guard == nil: // of no route
		return "The key lacks a scope that this route needs. Use a key that has it, or add it to this key."
	case len(missing) == 0: // a zero Requirement
		return "No API key is admitted here: this route says no scopes."
	case o.needs().Any():
		return fmt.Sprintf("This route needs one of the scopes %s, and the key has none of them. Use a key with one, or add it to this key.", quoteAll(missing))
	case len(missing) == 1:
		return fmt.Sprintf("The key lacks the scope %s. Use a key that has it, or add it to this key.", quoteAll(missing))
	}
	return fmt.Sprintf("The key lacks the scopes %s. Use a key that has them, or add them to this key.", quoteAll(missing))
}

// limitDetail names each limit that was reached, and says when to try again:
// "The limit of 30 per day is reached. Try again in 24 h 3 min."
func (o *Outcome) limitDetail() string {
	if o.decision.N == 0 { // of no request, or of one that nobody can tell more about
		return "A limit of the key is reached. Try again after the time in Retry-After."
	}
	retry, ever := o.RetryAfter(), false
	b := make([]byte, 0, 192)
	for i := range o.decision.N {
		if l, _ := o.refusedBy(i); l != nil {
			ever = ever || l.Period == apikey.Ever
		}
	}
	tooMuch := o.decision.RetryAfter == limiter.Never && !ever
	for i := range o.decision.N {
		l, prefix := o.refusedBy(i)
		if l == nil {
			continue
		}
		if tooMuch {
			b = append(b, "This request costs more than the limit of "...)
		} else {
			b = append(b, "The limit of "...)
		}
		b = appendLimit(b, l)
		if prefix != "" {
			b = append(b, ", for all keys of this account together,"...)
		}
		if tooMuch {
			b = append(b, " allows. "...)
		} else {
			b = append(b, " is reached. "...)
		}
	}
	switch {
	case retry > 0:
		return string(append(appendTime(append(b, "Try again in "...), retry), '.'))
	case o.decision.RetryAfter == limiter.Unknown:
		return string(append(b, "Try again when one of the requests in progress has ended."...))
	}
	return string(append(b, "Waiting does not help: use a plan with a higher limit."...))
}

// appendLimit appends what a limit allows: "30 per day", "2 requests at the same
// time", "5000 tokens per calendar month (Europe/Berlin)".
func appendLimit(b []byte, l *apikey.Limit) []byte {
	b = appendUint(b, l.N)
	if l.Unit != "" {
		b = append(append(b, ' '), l.Unit...)
	}
	switch {
	case l.Concurrent:
		b = append(b, " requests at the same time"...)
	case l.Period == apikey.Ever:
		b = append(b, " in all"...)
	case l.Period != "":
		b = append(append(b, " per calendar "...), l.Period...)
		if l.Zone != "" {
			b = append(append(append(b, " ("...), l.Zone...), ')')
		}
	default:
		b = appendPeriod(append(b, " per "...), ceilSeconds(l.Window))
	}
	return b
}

// appendPeriod appends what a limit is "per".
func appendPeriod(b []byte, seconds int64) []byte {
	switch seconds {
	case 1:
		return append(b, "second"...)
	case 60:
		return append(b, "minute"...)
	case 60 * 60:
		return append(b, "hour"...)
	case 24 * 60 * 60:
		return append(b, "day"...)
	}
	return appendTime(b, seconds)
}

// appendTime appends a duration in its two largest units, rounded up.
func appendTime(b []byte, seconds int64) []byte {
	if seconds < 2*60 {
		return append(appendUint(b, seconds), " s"...)
	}
	large, small, big, little := int64(60), int64(1), " min", " s"
	if seconds >= 60*60 {
		large, small, big, little = 60*60, 60, " h", " min"
	}
	n := (seconds + small - 1) / small
	b = append(appendUint(b, n/(large/small)), big...)
	if rest := n % (large / small); rest > 0 {
		b = append(appendUint(append(b, ' '), rest), little...)
	}
	return b
}

func quoteAll(names []string) string { return "\"" + strings.Join(names, "\", \"") + "\"" }

func appendList(dst []byte, name string, items []string) []byte {
	dst = append(dst, ',')
	dst = appendJSON(dst, name)
	dst = append(dst, ":["...)
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSON(dst, item)
	}
	return append(dst, ']')
}

// appendJSON appends a JSON string. Invalid UTF-8 becomes U+FFFD, and
// characters with a meaning in HTML are escaped, for clients that guess the
// type.
func appendJSON(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	plain := 0 // start of the bytes before i that are copied unchanged
	for i := 0; i < len(s); {
		if is(s[i], plainChar) {
			i++
			continue
		}
		dst = append(dst, s[plain:i]...)
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == 0x7f || r == '<' || r == '>' || r == '&':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
		i += size
		plain = i
	}
	return append(append(dst, s[plain:]...), '"')
}
