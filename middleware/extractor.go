package middleware

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// Extractor is a place in a request where a key may come: [Bearer], [Header],
// [Cookie], [BasicUser] or, under a name that warns, [InsecureQuery].
type Extractor struct {
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
)

// Bearer takes the key from "Authorization: Bearer <key>".
func Bearer() Extractor {
	return Extractor{inBearer, "", func(f Fields, _, _ string) (string, apikey.Code) {
		return bearer(f.Values("Authorization"))
	}}
}

// BasicUser takes the key from the user name of HTTP Basic authentication, as
// in "curl -u <key>:". The password is ignored.
func BasicUser() Extractor {
	return Extractor{inBasic, "", func(f Fields, _, _ string) (string, apikey.Code) {
		return basicUser(f.Values("Authorization"))
	}}
}

// Header takes the key from a header field of its own, such as X-API-Key.
// Responses get "Cache-Control: private", because shared caches recognize only
// Authorization; a handler may replace it.
func Header(name string) Extractor {
	return Extractor{inHeader, http.CanonicalHeaderKey(name), func(f Fields, _, name string) (string, apikey.Code) {
		return oneLine(f.Values(name))
	}}
}

// Cookie takes the key from a cookie. Browsers send cookies on their own, so
// state-changing routes then need protection from cross-site requests, such as
// http.CrossOriginProtection.
func Cookie(name string) Extractor {
	return Extractor{inCookie, name, func(f Fields, _, name string) (string, apikey.Code) {
		return cookie(f.Values("Cookie"), name)
	}}
}

// InsecureQuery takes the key from a parameter of the query string. That is
// insecure: URLs are kept in access logs, browser histories and Referer
// fields. It is for clients that can send nothing else, with keys that may
// leak.
func InsecureQuery(name string) Extractor {
	return Extractor{inQuery, name, func(_ Fields, rawQuery, name string) (string, apikey.Code) {
		return parameter(rawQuery, name)
	}}
}

// String returns the call that makes the Extractor, for messages.
func (e Extractor) String() string {
	if e.name == "" {
		return string(e.place) + "()"
	}
	return string(e.place) + "(\"" + e.name + "\")"
}

// field is the header field that carries the key; empty if none does.
func (e Extractor) field() string {
	switch e.place {
	case inBearer, inBasic:
		return "Authorization"
	case inCookie:
		return "Cookie"
	case inHeader:
		return e.name
	}
	return ""
}

func (e Extractor) check(field string) error {
	switch e.place {
	case inBearer, inBasic:
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
// [Options.Extractors] looks for it, in place of what is there. It is for the
// client's side: for tests, and for programs that call an API of their own.
func (g *Guard) SetCredential(r *http.Request, token string) {
	switch e := &g.o.Extractors[0]; e.place {
	case inBearer:
		r.Header.Set("Authorization", "Bearer "+token)
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
