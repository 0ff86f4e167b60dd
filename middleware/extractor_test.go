package middleware_test

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

func TestExtractors(t *testing.T) {
	type request = func(r *http.Request, token string)
	basic := func(value string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(value)) }
	add := func(name string, value func(token string) string) request {
		return func(r *http.Request, token string) { r.Header.Add(name, value(token)) }
	}
	all := func(f ...request) request {
		return func(r *http.Request, token string) {
			for _, f := range f {
				f(r, token)
			}
		}
	}
	bearer := add("Authorization", func(s string) string { return "Bearer " + s })
	header := add("X-API-Key", func(s string) string { return s })
	cookie := add("Cookie", func(s string) string { return "theme=dark; key=" + s })
	query := func(r *http.Request, token string) { r.URL.RawQuery = "a=b&key=" + token }

	h, c, b, q := middleware.Header("x-api-key"), middleware.Cookie("key"), middleware.BasicUser(), middleware.InsecureQuery("key")
	for _, x := range []struct {
		rule string
		from []middleware.Extractor
		send request
		want int
	}{
		{"by default Authorization", nil, bearer, 204},
		{"by default no header of its own", nil, header, 401},
		{"by default no cookie", nil, cookie, 401},
		{"by default no query", nil, query, 401},
		{"by default no Basic", nil, add("Authorization", func(s string) string { return basic(s + ":") }), 401},

		{"header", []middleware.Extractor{h}, header, 204},
		{"header: not Authorization", []middleware.Extractor{h}, bearer, 401},
		{"header twice", []middleware.Extractor{h}, all(header, header), 400},
		{"header joined", []middleware.Extractor{h}, add("X-API-Key", func(s string) string { return s + ", " + s }), 400},
		{"header empty", []middleware.Extractor{h}, add("X-API-Key", func(string) string { return " " }), 401},

		{"cookie", []middleware.Extractor{c}, cookie, 204},
		{"cookie twice", []middleware.Extractor{c}, all(cookie, cookie), 400},
		{"cookie of another name", []middleware.Extractor{c}, add("Cookie", func(s string) string { return "keys=" + s }), 401},
		{"cookie no b64token", []middleware.Extractor{c}, add("Cookie", func(s string) string { return "key=\"" + s + "\"" }), 400},

		{"basic", []middleware.Extractor{b}, add("Authorization", func(s string) string { return basic(s + ":") }), 204},
		{"basic with a password", []middleware.Extractor{b}, add("Authorization", func(s string) string { return basic(s + ":x") }), 204},
		{"basic without a colon", []middleware.Extractor{b}, add("Authorization", func(s string) string { return basic(s) }), 400},
		{"basic without a user", []middleware.Extractor{b}, add("Authorization", func(string) string { return basic(":x") }), 401},
		{"basic not base64", []middleware.Extractor{b}, add("Authorization", func(string) string { return "Basic ???" }), 400},
		{"basic: two lines of other schemes", []middleware.Extractor{b}, all(add("Authorization", func(string) string { return "Digest x" }), add("Authorization", func(string) string { return "Negotiate x" })), 401},
		{"basic: not Bearer", []middleware.Extractor{b}, bearer, 401},

		{"query, asked for", []middleware.Extractor{q}, query, 204},
		{"query twice", []middleware.Extractor{q}, func(r *http.Request, s string) { r.URL.RawQuery = "key=" + s + "&key=" + s }, 400},
		{"query not readable", []middleware.Extractor{q}, func(r *http.Request, _ string) { r.URL.RawQuery = "key=%zz" }, 400},
		{"query, others' parameters not readable", []middleware.Extractor{q}, func(r *http.Request, s string) { r.URL.RawQuery = "a;b=c&%zz=1&key=" + s + "&b=%zz" }, 204},
		{"query, others' alone", []middleware.Extractor{q}, func(r *http.Request, _ string) { r.URL.RawQuery = "b=%zz;x" }, 401},
		{"query, percent-encoded", []middleware.Extractor{q}, func(r *http.Request, s string) { r.URL.RawQuery = "%6Bey=%73" + s[1:] }, 204},

		{"two places, one used", []middleware.Extractor{middleware.Bearer(), h}, header, 204},
		{"two places, the other used", []middleware.Extractor{middleware.Bearer(), h}, bearer, 204},
		{"two places, both used", []middleware.Extractor{middleware.Bearer(), h}, all(bearer, header), 400},
		{"two places, in the other a token of somebody else", []middleware.Extractor{middleware.Bearer(), h}, all(header, add("Authorization", func(string) string { return "Bearer eyJh.eyJz.c2ln" })), 204},
		{"two places, in the other somebody else's password", []middleware.Extractor{h, b}, all(header, add("Authorization", func(string) string { return basic("ann:secret") })), 204},
		{"two places, in the other what is no password", []middleware.Extractor{h, b}, all(header, add("Authorization", func(string) string { return "Basic YW5u" })), 204},
		{"two places, in the other two lines of somebody else", []middleware.Extractor{h, middleware.Bearer()}, all(header, add("Authorization", func(string) string { return "Basic YW5uOng=" }), add("Authorization", func(string) string { return "Bearer eyJh.eyJz.c2ln" })), 204},
		{"two places, in the other two lines, one with a key", []middleware.Extractor{h, middleware.Bearer()}, all(header, bearer, add("Authorization", func(string) string { return "Basic YW5uOng=" })), 400},
		{"two places, what is no password alone", []middleware.Extractor{h, b}, add("Authorization", func(string) string { return "Basic YW5u" }), 400},
		{"two places, somebody else's token alone", []middleware.Extractor{middleware.Bearer(), h}, add("Authorization", func(string) string { return "Bearer eyJh.eyJz.c2ln" }), 401},
		{"two places, neither", []middleware.Extractor{middleware.Bearer(), h}, all(), 401},
		{"two places, one malformed", []middleware.Extractor{middleware.Bearer(), h}, all(bearer, add("X-API-Key", func(string) string { return "a b" })), 400},
	} {
		k := newKit(t, middleware.Options{Extractors: x.from})
		_, token := k.key()
		r := get("")
		x.send(r, token)
		if res := serve(k.guard.Require(middleware.AnyKey())(noContent), r); res.StatusCode != x.want {
			t.Errorf("%s: got %d, want %d", x.rule, res.StatusCode, x.want)
		}
	}
}

func TestChallengeOfBasic(t *testing.T) {
	k := newKit(t, middleware.Options{Extractors: []middleware.Extractor{middleware.BasicUser()}, Realm: `a "b" \c`})
	res := serve(k.guard.Require(middleware.AnyKey())(noContent), get(""))
	if got := res.Header.Get("WWW-Authenticate"); got != `Basic realm="a \"b\" \\c", charset="UTF-8"` {
		t.Error(got)
	}
}

func TestOptions(t *testing.T) {
	k := newKit(t, middleware.Options{})
	if _, err := middleware.New(nil, middleware.Options{}); apikey.CodeOf(err) != apikey.InvalidArgument {
		t.Errorf("no service: %v", err)
	}
	for field, o := range map[string]middleware.Options{
		"Options.Realm":             {Realm: "a\nb"},
		"Options.OwnerLimits":       {OwnerLimits: []apikey.Limit{{Name: "minute"}}},
		"Options.Extractors[0]":     {Extractors: []middleware.Extractor{{}}},
		"Options.Extractors[1]":     {Extractors: []middleware.Extractor{middleware.Bearer(), middleware.Bearer()}},
		"Options.TrustedProxies[0]": {TrustedProxies: make([]netip.Prefix, 1)},
		"Options.TrustedProxies[1]": {TrustedProxies: []netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("::ffff:10.0.0.0/90")}},
	} {
		_, err := middleware.New(k.keys, o)
		if e, ok := err.(*apikey.Error); !ok || e.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
	for _, e := range []middleware.Extractor{
		middleware.Header(""), middleware.Header("a b"), middleware.Header("Authorization"), middleware.Header("cookie"),
		middleware.Cookie(""), middleware.Cookie("a=b"), middleware.InsecureQuery(""),
	} {
		if _, err := middleware.New(k.keys, middleware.Options{Extractors: []middleware.Extractor{e}}); err == nil {
			t.Errorf("%v was taken", e)
		}
	}
}

// TestSetCredentialPutsTheKeyWhereTheGuardLooks: in the place of another one, and beside what else is there.
func TestSetCredentialPutsTheKeyWhereTheGuardLooks(t *testing.T) {
	for _, e := range []middleware.Extractor{
		middleware.Bearer(), middleware.Header("x-api-key"), middleware.Cookie("key"), middleware.BasicUser(), middleware.InsecureQuery("key"), middleware.InsecureQuery("a key"),
	} {
		k := newKit(t, middleware.Options{Extractors: []middleware.Extractor{e, middleware.Header("X-Other")}})
		_, token := k.key()
		r := get("")
		r.URL.RawQuery = "a=b;c&b=%zz"
		r.AddCookie(&http.Cookie{Name: "theme", Value: "dark"})
		k.guard.SetCredential(r, "sk_live_somebodyelse")
		k.guard.SetCredential(r, token)
		theme, err := r.Cookie("theme")
		if !strings.HasPrefix(r.URL.RawQuery, "a=b;c&b=%zz") || err != nil || theme.Value != "dark" {
			t.Errorf("%v: of the rest there is %s, cookie %v", e, r.URL.RawQuery, theme)
		}
		if strings.Contains(r.URL.RawQuery, token) != strings.HasSuffix(r.RequestURI, token) {
			t.Errorf("%v: the query is %s, and RequestURI %s", e, r.URL.RawQuery, r.RequestURI)
		}
		if got := serve(k.guard.Require(middleware.AnyKey())(noContent), r); got.StatusCode != http.StatusNoContent {
			t.Errorf("%v: %d, want 204", e, got.StatusCode)
		}
	}
}
