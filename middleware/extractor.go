package middleware

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// Extractor is a place in a request where a key may come: [Bearer], [Scheme],
// [Header], [Cookie], [Subprotocol], [BasicUser] or, under a name that warns,
// [InsecureQuery]. For any other place, set Find and Field.
type Extractor struct {
	// Find returns the key of a request as it was sent. The code is OK, or MissingKey
	// if there is none in this place, or MalformedRequest if what is there cannot be
	// read, or be read in two ways. It is called for every request, concurrently, and
	// must keep nothing.
	Find func(f Fields, rawQuery string) (token string, code apikey.Code)
	// Field is the header field that Find reads, or empty. Caches are told of it, and
	// [Options.StripCredential] removes it.
	Field string

	place place
	name  string
	find  func(f Fields, rawQuery, name string) (token string, code apikey.Code)
}

type place string

const (
	inBearer place = "Bearer"
	inBasic  place = "BasicUser"
	inHeader place = "Header"
	inCookie place = "Cookie"
	inQuery  place = "InsecureQuery"
	inScheme place = "Scheme"
	inSocket place = "Subprotocol"
	inOwn    place = "Extractor"
)

func in(p place, name string, find func(f Fields, rawQuery, name string) (string, apikey.Code)) Extractor {
	return Extractor{place: p, name: name, find: find}
}

// Bearer takes the key from "Authorization: Bearer <key>".
func Bearer() Extractor {
	return in(inBearer, "", func(f Fields, _, _ string) (string, apikey.Code) {
		return bearer(f.Values("Authorization"))
	})
}

// Scheme takes the key from "Authorization: <name> <key>", for a scheme such as
// ApiKey or Token; case does not matter. With an empty name the field holds the key
// alone, as "Authorization: <key>".
func Scheme(name string) Extractor {
	return in(inScheme, name, func(f Fields, _, name string) (string, apikey.Code) {
		lines := f.Values("Authorization")
		if name == "" {
			return alone(lines)
		}
		return schemed(lines, strings.ToLower(name))
	})
}

// BasicUser takes the key from the user name of HTTP Basic authentication, as
// in "curl -u <key>:". The password is ignored.
func BasicUser() Extractor {
	return in(inBasic, "", func(f Fields, _, _ string) (string, apikey.Code) {
		return basicUser(f.Values("Authorization"))
	})
}

// Header takes the key from a header field of its own, such as X-API-Key.
// Responses get "Cache-Control: private", because shared caches recognize only
// Authorization; a handler may replace it.
func Header(name string) Extractor {
	return in(inHeader, http.CanonicalHeaderKey(name), func(f Fields, _, name string) (string, apikey.Code) {
		return oneLine(f.Values(name))
	})
}

// Cookie takes the key from a cookie. Browsers send cookies on their own, so
// state-changing routes then need protection from cross-site requests, such as
// http.CrossOriginProtection.
func Cookie(name string) Extractor {
	return in(inCookie, name, func(f Fields, _, name string) (string, apikey.Code) {
		return cookie(f.Values("Cookie"), name)
	})
}

// InsecureQuery takes the key from a parameter of the query string. That is
// insecure: URLs are kept in access logs, browser histories and Referer
// fields. It is for clients that can send nothing else, with keys that may
// leak.
func InsecureQuery(name string) Extractor {
	return in(inQuery, name, func(_ Fields, rawQuery, name string) (string, apikey.Code) {
		return parameter(rawQuery, name)
	})
}

// String returns the call that makes the Extractor, for messages.
func (e Extractor) String() string {
	switch {
	case e.place == inOwn:
		return "Extractor{Find, Field: \"" + e.Field + "\"}"
	case e.name == "" && e.place != inScheme:
		return string(e.place) + "()"
	}
	return string(e.place) + "(\"" + e.name + "\")"
}

// field is the header field that carries the key; empty if none does.
func (e Extractor) field() string {
	switch e.place {
	case inBearer, inBasic, inScheme:
		return "Authorization"
	case inCookie:
		return "Cookie"
	case inSocket:
		return socketField
	case inHeader:
		return e.name
	case inOwn:
		return e.Field
	}
	return ""
}

// prepare makes an Extractor of the caller's like ours.
func (e *Extractor) prepare() {
	if find := e.Find; e.place == "" && find != nil {
		e.place, e.Field = inOwn, http.CanonicalHeaderKey(e.Field)
		e.find = func(f Fields, rawQuery, _ string) (string, apikey.Code) { return find(f, rawQuery) }
	}
}

func (e Extractor) check(field string) error {
	if e.place != inOwn && (e.Find != nil || e.Field != "") {
		return invalidf(field, "has a Find or a Field beside %s: use one or the other", e)
	}
	switch e.place {
	case inBearer, inBasic:
		return nil
	case inOwn:
		if _, rest := cutScheme(e.Field); rest != "" {
			return invalidf(field, "Field %q is no name of a header field", e.Field)
		}
		return nil
	case inScheme:
		if _, rest := cutScheme(e.name); rest != "" || equalFold(e.name, "bearer") || equalFold(e.name, "basic") {
			return invalidf(field, "%q is no name of a scheme of its own: use Bearer or BasicUser for theirs", e.name)
		}
		return nil
	case inSocket:
		if word, rest := cutScheme(e.name); word == "" || rest != "" {
			return invalidf(field, "%q is no prefix of a subprotocol: use one such as \"key.\"", e.name)
		}
		return nil
	case inQuery:
		if e.name == "" {
			return invalidf(field, "name the query parameter")
		}
		return nil
	}
	if scheme, rest := cutScheme(e.name); scheme == "" || rest != "" {
		return invalidf(field, "%q is no name of a header field or cookie", e.name)
	}
	if e.name == "Authorization" || e.name == "Cookie" {
		return invalidf(field, "use Bearer, BasicUser or Cookie to read the field %s", e.name)
	}
	return nil
}

// SetCredential puts a token into a request where the first of
// [Options.Extractors] looks for it, in place of what is there; for an Extractor
// with a Find of its own, alone in its Field, if it has one. It is for the client's side: for
// tests, and for programs that call an API of their own.
func (g *Guard) SetCredential(r *http.Request, token string) {
	switch e := &g.o.Extractors[0]; e.place {
	case inBearer:
		r.Header.Set("Authorization", "Bearer "+token)
	case inScheme:
		r.Header.Set("Authorization", strings.TrimPrefix(e.name+" "+token, " "))
	case inSocket:
		setOffered(r.Header, e.name, token)
	case inOwn:
		if e.Field != "" {
			r.Header.Set(e.Field, token)
		}
	case inBasic:
		r.SetBasicAuth(token, "")
	case inHeader:
		r.Header.Set(e.name, token)
	case inCookie:
		stripCookie(r.Header, e.name)
		r.AddCookie(&http.Cookie{Name: e.name, Value: token})
	case inQuery:
		stripParameter(r, e.name)
		pair := url.QueryEscape(e.name) + "=" + url.QueryEscape(token)
		if r.URL.RawQuery != "" {
			pair = "&" + pair
		}
		r.URL.RawQuery += pair
		if r.RequestURI != "" {
			r.RequestURI = r.URL.RequestURI()
		}
	}
}

// credential looks in all places: a key in two of them is ambiguous. The field
// Authorization is shared with others: what is no key of this service, readable
// or not, counts only if no other place has a key.
func (g *Guard) credential(r *Request) (string, apikey.Code) {
	if e := &g.o.Extractors[0]; len(g.o.Extractors) == 1 {
		return e.find(r.Fields, r.RawQuery, e.name)
	}
	token, code := "", apikey.MissingKey
	others, othersCode := "", apikey.MissingKey
	for i := range g.o.Extractors {
		e := &g.o.Extractors[i]
		switch t, c := e.find(r.Fields, r.RawQuery, e.name); {
		case c == apikey.MissingKey:
		case e.field() == "Authorization" && !g.mentioned(r, t, c):
			others, othersCode = t, c
		case c != apikey.OK || code == apikey.OK:
			return "", apikey.MalformedRequest
		default:
			token, code = t, c
		}
	}
	if code == apikey.MissingKey {
		return others, othersCode
	}
	return token, code
}

// mentioned reports whether what an Extractor found is a key of this service,
// or, if it could not be read, whether the field Authorization contains one.
func (g *Guard) mentioned(r *Request, token string, code apikey.Code) bool {
	if code == apikey.OK {
		return strings.HasPrefix(token, g.prefix)
	}
	return slices.ContainsFunc(r.Fields.Values("Authorization"), func(line string) bool { return strings.Contains(line, g.prefix) })
}

// somebodyElses reports whether a request has a credential, as credential found it
// or in Authorization, and none that begins like a key of this service.
func (g *Guard) somebodyElses(r *Request, token string, code apikey.Code) bool {
	lines := r.Fields.Values("Authorization")
	ours := func(text string) bool { return strings.Contains(text, g.prefix) }
	switch {
	case ours(token) || slices.ContainsFunc(lines, ours):
		return false
	case code == apikey.OK:
		return true
	case code == apikey.MissingKey:
		return slices.ContainsFunc(lines, func(line string) bool { return strings.Trim(line, " \t") != "" })
	}
	return false // unreadable
}

func basicUser(lines []string) (string, apikey.Code) {
	value, code := authorization(lines, "basic")
	if code != apikey.OK {
		return "", code
	}
	_, rest := cutScheme(value)
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimLeft(rest, " "))
	if err != nil || len(rest) == 0 || rest[0] != ' ' {
		return "", apikey.MalformedRequest
	}
	user, _, found := strings.Cut(string(decoded), ":")
	if !found {
		return "", apikey.MalformedRequest
	}
	if user == "" {
		return "", apikey.MissingKey
	}
	return user, apikey.OK
}

// parameter reads one parameter of a query string. Whether the others can be
// decoded is up to the handler.
func parameter(rawQuery, name string) (string, apikey.Code) {
	var values []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		n, value, _ := strings.Cut(pair, "=")
		if n, err := url.QueryUnescape(n); err != nil || n != name {
			continue
		}
		value, err := url.QueryUnescape(value)
		if err != nil {
			return "", apikey.MalformedRequest
		}
		values = append(values, value)
	}
	return oneLine(values)
}

func cookie(lines []string, name string) (string, apikey.Code) {
	token, code := "", apikey.MissingKey
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			n, value, found := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !found || n != name || value == "" {
				continue
			}
			if code == apikey.OK {
				return "", apikey.MalformedRequest
			}
			token, code = value, apikey.OK
		}
	}
	return token, code
}
