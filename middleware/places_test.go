package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Keys in places that are not Bearer: what is taken, refused and left to others.
func TestMorePlacesForKeys(t *testing.T) {
	own := middleware.Extractor{Field: "X-Signed", Find: func(f middleware.Fields, _ string) (string, apikey.Code) {
		if v := f.Values("X-Signed"); len(v) == 1 && v[0] != "" {
			return strings.TrimPrefix(v[0], "v1="), apikey.OK
		}
		return "", apikey.MissingKey
	}}
	apiKey, none, socket := middleware.Scheme("ApiKey"), middleware.Scheme(""), middleware.Subprotocol("key.")
	const authorization, protocol = "Authorization", "Sec-WebSocket-Protocol"
	for _, c := range []struct {
		rule      string
		from      middleware.Extractor
		field     string
		lines     []string // KEY stands for the key
		want      int
		challenge string
	}{
		{"a scheme of one's own", apiKey, authorization, []string{"ApiKey KEY"}, 204, ""},
		{"its case does not matter", apiKey, authorization, []string{"apikey  KEY"}, 204, ""},
		{"another scheme is not meant for us", apiKey, authorization, []string{"Bearer KEY"}, 401, `ApiKey realm="api"`},
		{"a scheme without a key", apiKey, authorization, []string{"ApiKey"}, 400, ""},
		{"a scheme twice", apiKey, authorization, []string{"ApiKey KEY", "ApiKey KEY"}, 400, ""},
		{"a mistyped key", apiKey, authorization, []string{"ApiKey KEYx"}, 401, `ApiKey realm="api"`},
		{"no scheme", none, authorization, []string{"KEY"}, 204, ""},
		{"no scheme, and a scheme comes", none, authorization, []string{"Token KEY"}, 401, `Bearer realm="api"`},
		{"no scheme, twice", none, authorization, []string{"KEY", "KEY"}, 400, ""},
		{"a subprotocol", socket, protocol, []string{"chat, key.KEY"}, 204, ""},
		{"a subprotocol on a line of its own", socket, protocol, []string{"chat", "key.KEY"}, 204, ""},
		{"no subprotocol with the prefix", socket, protocol, []string{"chat, KEY"}, 401, `Bearer realm="api"`},
		{"a subprotocol twice", socket, protocol, []string{"key.KEY, key.KEY"}, 400, ""},
		{"a place of one's own", own, "X-Signed", []string{"v1=KEY"}, 204, ""},
		{"nothing in a place of one's own", own, authorization, []string{"Bearer KEY"}, 401, `Bearer realm="api"`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			k := newKit(t, middleware.Options{Extractors: []middleware.Extractor{c.from}, StripCredential: true})
			_, token := k.key()
			q := httptest.NewRequest("GET", "https://api.example.com/", nil)
			for _, line := range c.lines {
				q.Header.Add(c.field, strings.ReplaceAll(line, "KEY", token))
			}
			kept := ""
			w := httptest.NewRecorder()
			k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				kept = strings.Join(r.Header.Values(protocol), "; ")
				if strings.Contains(strings.Join(r.Header.Values(c.field), " "), token) {
					t.Error("StripCredential leaves the key to the handler")
				}
				w.WriteHeader(204)
			})).ServeHTTP(w, q)
			if got := w.Header().Get("WWW-Authenticate"); w.Code != c.want || c.challenge != "" && !strings.HasPrefix(got, c.challenge) {
				t.Errorf("%d, challenge %q, want %d, %q", w.Code, got, c.want, c.challenge)
			}
			if c.field == protocol && w.Code == 204 && kept != "chat" {
				t.Errorf("of the subprotocols the handler finds %q, want chat", kept)
			}
			if private := w.Header().Get("Cache-Control") == "private"; w.Code == 204 && private == (c.field == authorization) {
				t.Errorf("private: %v: caches know Authorization alone", private)
			}
			r := httptest.NewRequest("GET", "https://api.example.com/", nil)
			k.guard.SetCredential(r, token)
			w = httptest.NewRecorder()
			if k.guard.Require(middleware.AnyKey())(http.NotFoundHandler()).ServeHTTP(w, r); w.Code != 404 {
				t.Errorf("a key that SetCredential put there: %d", w.Code)
			}
		})
	}
}

func TestPlacesThatCannotBe(t *testing.T) {
	k := newKit(t, middleware.Options{})
	own := func(middleware.Fields, string) (string, apikey.Code) { return "", apikey.MissingKey }
	withFind := middleware.Bearer()
	withFind.Find = own
	for _, e := range []middleware.Extractor{
		{},
		{Field: "X-Key"},
		middleware.Scheme("Bearer"), middleware.Scheme("basic"), middleware.Scheme("two words"),
		middleware.Subprotocol(""), middleware.Subprotocol("a,b"),
	} {
		if _, err := middleware.New(k.keys, middleware.Options{Extractors: []middleware.Extractor{e}}); apikey.CodeOf(err) != apikey.InvalidArgument {
			t.Errorf("%v: error %v", e, err)
		}
	}
}

// A route for keys and for somebody else's credentials.
func TestOthersPassAndAreNoKeys(t *testing.T) {
	decisions := map[bool]int{} // by whether there is a principal
	k := newKit(t, middleware.Options{Extractors: []middleware.Extractor{middleware.Bearer(), middleware.Header("X-API-Key")}})
	id, token := k.key()
	const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP"
	h := func(r middleware.Route) http.Handler {
		return k.guard.Door(r).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, ok := middleware.PrincipalFrom(r.Context())
			decisions[ok]++
			if w.WriteHeader(204); ok && w.Header().Get("RateLimit") == "" || !ok && w.Header().Get("RateLimit") != "" {
				t.Errorf("principal: %v, RateLimit %q", ok, w.Header().Get("RateLimit"))
			}
		}))
	}
	both, strict := h(middleware.Route{Need: middleware.AnyKey(), Others: true}), h(middleware.Route{Need: middleware.AnyKey()})
	for _, c := range []struct {
		rule         string
		field, value string
		want, before int // with Others, and without
	}{
		{"a key", "Authorization", "Bearer " + token, 204, 204},
		{"a key in its other place", "X-API-Key", token, 204, 204},
		{"a token of somebody else", "Authorization", "Bearer " + jwt, 204, 401},
		{"a credential of another scheme", "Authorization", "Basic dTpw", 204, 401},
		{"one of somebody else in our field", "X-API-Key", "abc123", 204, 401},
		{"a mistyped key", "Authorization", "Bearer " + token + "x", 401, 401},
		{"a key with another scheme", "Authorization", "Token " + token, 401, 401},
		{"nothing", "X-Other", "1", 401, 401},
		{"an empty credential", "Authorization", "", 401, 401},
	} {
		for i, want := range []int{c.want, c.before} {
			h := []http.Handler{both, strict}[i]
			q := httptest.NewRequest("GET", "https://api.example.com/", nil)
			q.Header.Set(c.field, c.value)
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, q); w.Code != want {
				t.Errorf("%s: %d, want %d", c.rule, w.Code, want)
			}
		}
	}
	u, err := k.keys.Usage(t.Context(), id, time.Time{})
	if err != nil || len(u.Secrets) != 1 || u.Secrets[0].Counts.Allowed != 4 || decisions[false] != 3 {
		t.Errorf("%d requests without a principal, want 3; usage of the key %+v, want 4 admitted; error %v", decisions[false], u.Secrets, err)
	}
}
