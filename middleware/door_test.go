package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// TestSetUpMistakesPanic: a route that does not say its scopes is no route.
func TestSetUpMistakesPanic(t *testing.T) {
	k := newKit(t, middleware.Options{})
	for name, f := range map[string]func(){
		"Require without scopes":     func() { k.guard.Require(middleware.AllOf()) },
		"RequireAny without scopes":  func() { k.guard.Require(middleware.AnyOf()) },
		"Require of a bad scope":     func() { k.guard.Require(middleware.AllOf("things")) },
		"Require of a wildcard":      func() { k.guard.Require(middleware.AllOf("things:*")) },
		"a route that says nothing":  func() { k.guard.Door(middleware.Route{}) },
		"an optional one as well":    func() { k.guard.Door(middleware.Route{Optional: true}) },
		"HandlerFunc for nothing":    func() { handlerFunc(k.guard, apikey.Requirement{}, nil) },
		"Mux for nothing":            func() { k.guard.Mux().Handle("/", apikey.Requirement{}, noContent) },
		"a cost that is a give-away": func() { k.guard.Door(middleware.Route{Need: apikey.AnyKey(), Cost: -1}) },
	} {
		func() {
			defer func() {
				if s, ok := recover().(string); !ok || !strings.HasPrefix(s, "middleware: ") {
					t.Errorf("%s: got %v, want a panic that helps", name, s)
				}
			}()
			f()
			t.Errorf("%s: was taken", name)
		}()
	}
}

func TestMux(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	mux := k.guard.Mux()
	mux.Handle("GET /read/{id}", middleware.AllOf("things:read"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.PathValue("id")))
	}))
	mux.Handle("GET /write", middleware.AllOf("things:write"), noContent)
	mux.Route("GET /optional", middleware.Route{Need: apikey.AnyKey(), Optional: true}, noContent)
	mux.Public("GET /health", noContent)
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/read/7", token, 200},
		{"/read/7", "", 401},
		{"/write", token, 403},
		{"/optional", "", 204},
		{"/optional", "bad", 401},
		{"/health", "", 204},
		{"/elsewhere", token, 404},
	} {
		r := get(c.token)
		r.URL.Path = c.path
		res := serve(mux, r)
		if res.StatusCode != c.want {
			t.Errorf("%s: got %d, want %d", c.path, res.StatusCode, c.want)
		}
		if c.want == 200 && body(t, res) != "7" {
			t.Error("the path's values are lost")
		}
	}
}

// TestNestedDoorsChargeOnce: a group's door and a route's inside it.
func TestNestedDoorsChargeOnce(t *testing.T) {
	l := new(recorder)
	k := newKit(t, middleware.Options{Limiter: l})
	_, token := k.key()
	ours := func(next http.Handler) http.Handler { // what logging does in between
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, 1)))
		})
	}
	for scope, want := range map[string]int{"things:read": 204, "things:write": 403} {
		l.taken = 0
		h := k.guard.Require(middleware.AnyKey())(ours(k.guard.Require(middleware.AllOf(scope))(noContent)))
		res := serve(h, get(token))
		if res.StatusCode != want || l.taken != 1 {
			t.Errorf("%s: got %d and %d charges, want %d and 1", scope, res.StatusCode, l.taken, want)
		}
	}
	// A request with another key is another, whatever context it has.
	for _, second := range []string{"", "bad", func() string { _, s := k.key(); return s }()} {
		l.taken = 0
		var inner *http.Response
		serve(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			inner = serve(k.guard.Require(middleware.AnyKey())(noContent), get(second).WithContext(r.Context()))
		})), get(token))
		if admitted := inner.StatusCode == 204; admitted != (len(second) > 3) || admitted != (l.taken == 2) {
			t.Errorf("with the key %q inside: got %d and %d charges", second, inner.StatusCode, l.taken)
		}
	}
	// So is one after the end of the first.
	l.taken = 0
	var leaked context.Context
	serve(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked = r.Context() })), get(token))
	serve(k.guard.Require(middleware.AnyKey())(noContent), get(token).WithContext(leaked))
	if l.taken != 2 {
		t.Errorf("a request with the context of an earlier one: %d charges, want 2", l.taken)
	}
	// Each guard charges for itself.
	l.taken = 0
	l2 := new(recorder)
	g2, err := middleware.New(k.keys, middleware.Options{Limiter: l2})
	if err != nil {
		t.Fatal(err)
	}
	serve(k.guard.Require(middleware.AnyKey())(g2.Require(middleware.AnyKey())(noContent)), get(token))
	if l.taken != 1 || l2.taken != 1 {
		t.Errorf("two guards charged %d and %d times, want 1 and 1", l.taken, l2.taken)
	}
	// Another guard's word does not count.
	other := newKit(t, middleware.Options{})
	if res := serve(other.guard.Require(middleware.AnyKey())(k.guard.Require(middleware.AnyKey())(noContent)), get(token)); res.StatusCode != 401 {
		t.Errorf("got %d", res.StatusCode)
	}
	_, theirs := other.key()
	if res := serve(other.guard.Require(middleware.AnyKey())(k.guard.Require(middleware.AnyKey())(noContent)), get(theirs)); res.StatusCode != 401 {
		t.Errorf("a guard took another one's word: %d", res.StatusCode)
	}
}

func TestPreflight(t *testing.T) {
	preflight := func() *http.Request {
		r := get("")
		r.Method = http.MethodOptions
		r.Header.Set("Origin", "https://app.example.com")
		r.Header.Set("Access-Control-Request-Method", "GET")
		return r
	}
	on, off := newKit(t, middleware.Options{PreflightCORS: true}), newKit(t, middleware.Options{})
	if res := serve(on.guard.Require(middleware.AnyKey())(noContent), preflight()); res.StatusCode != 204 {
		t.Errorf("a preflight was answered %d", res.StatusCode)
	}
	if res := serve(off.guard.Require(middleware.AnyKey())(noContent), preflight()); res.StatusCode != 401 {
		t.Errorf("a preflight passes only where it was asked for: %d", res.StatusCode)
	}
	for _, missing := range []string{"Origin", "Access-Control-Request-Method"} {
		r := preflight()
		r.Header.Del(missing)
		if res := serve(on.guard.Require(middleware.AnyKey())(noContent), r); res.StatusCode != 401 {
			t.Errorf("OPTIONS without %s is no preflight: %d", missing, res.StatusCode)
		}
	}
	r := preflight()
	r.Method = http.MethodGet
	if res := serve(on.guard.Require(middleware.AnyKey())(noContent), r); res.StatusCode != 401 {
		t.Errorf("GET is no preflight: %d", res.StatusCode)
	}
}

func TestErrorHandler(t *testing.T) {
	k := newKit(t, middleware.Options{ErrorHandler: func(w http.ResponseWriter, _ *http.Request, o middleware.Outcome) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(o.Status())
		_, _ = w.Write([]byte("no: " + o.Code().String()))
	}})
	id, token := k.key()
	res := serve(k.guard.Require(middleware.AllOf("things:write"))(noContent), get(token))
	if res.StatusCode != 403 || body(t, res) != "no: insufficient_scope" || res.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	res = serve(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { k.revoke(id) })), get(token))
	if res.StatusCode != 401 || body(t, res) != "no: revoked_key" {
		t.Errorf("the refusal of a cut request goes the same way: %d", res.StatusCode)
	}
}

func TestOnDecision(t *testing.T) {
	var seen []string
	k := newKit(t, middleware.Options{OnDecision: func(_ context.Context, o middleware.Outcome) {
		who := "nobody"
		if p := o.Presented(); p != nil {
			who = p.Owner()
		}
		seen = append(seen, o.Code().String()+" "+who)
	}})
	_, token := k.key()
	serve(k.guard.Require(middleware.AnyKey())(noContent), get(token))
	serve(k.guard.Require(middleware.AllOf("things:write"))(noContent), get(token))
	serve(k.guard.Require(middleware.AnyKey())(noContent), get("bad"))
	if got := strings.Join(seen, ", "); got != "ok acme, insufficient_scope acme, invalid_key nobody" {
		t.Error(got)
	}
}

func TestLegacyHeaders(t *testing.T) {
	k := newKit(t, middleware.Options{LegacyHeaders: true})
	_, token := k.key(limits(apikey.PerMinute(2), apikey.PerDay(100)))
	h := k.guard.Require(middleware.AnyKey())(noContent)
	for _, want := range []string{"2 1", "2 0", "2 0"} {
		res := serve(h, get(token))
		if got := res.Header.Get("X-RateLimit-Limit") + " " + res.Header.Get("X-RateLimit-Remaining"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if res.Header.Get("X-RateLimit-Reset") < "1700000000" {
			t.Errorf("X-RateLimit-Reset %q is not in seconds since 1970", res.Header.Get("X-RateLimit-Reset"))
		}
	}
}

// TestCaches: see "Answers" in the package documentation.
func TestCaches(t *testing.T) {
	plain := newKit(t, middleware.Options{})
	_, token := plain.key()
	if res := serve(plain.guard.Require(middleware.AnyKey())(noContent), get(token)); res.Header.Get("Cache-Control") != "" || res.Header.Get("Vary") != "" {
		t.Errorf("caches know of Authorization: %v", res.Header)
	}
	optional := plain.guard.Door(middleware.Route{Need: apikey.AnyKey(), Optional: true}).Wrap(noContent)
	for _, bearer := range []string{token, ""} {
		if res := serve(optional, get(bearer)); res.Header.Get("Vary") != "Authorization" {
			t.Errorf("what a cache keeps of a request without a key is not for one with: %v", res.Header)
		}
	}
	other := newKit(t, middleware.Options{Extractors: []middleware.Extractor{middleware.Header("x-api-key")}})
	_, token = other.key()
	r := get("")
	r.Header.Set("X-API-Key", token)
	if res := serve(other.guard.Require(middleware.AnyKey())(noContent), r); res.StatusCode != 204 || res.Header.Get("Cache-Control") != "private" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// TestRefusalOfHEAD: HEAD has the fields of the refusal.
func TestRefusalOfHEAD(t *testing.T) {
	k := newKit(t, middleware.Options{})
	s := httptest.NewServer(k.guard.Require(middleware.AnyKey())(noContent))
	defer s.Close()
	res, err := s.Client().Head(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 401 || body(t, res) != "" || res.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// asked is a ResponseWriter that notes when its header is asked for.
type asked struct {
	sink
	times int
}

func (a *asked) Header() http.Header { a.times++; return a.sink.Header() }

// TestWithoutLimitsTheHeaderIsLeftAlone: net/http copies, walks and sorts a
// header that was asked for, and a key without limits has nothing to put there.
func TestWithoutLimitsTheHeaderIsLeftAlone(t *testing.T) {
	k := newKit(t, middleware.Options{}, unlimited)
	_, token := k.key()
	w := &asked{sink: sink{header: http.Header{}}}
	k.guard.Require(middleware.AllOf("things:read"))(noContent).ServeHTTP(w, get(token))
	if w.status != http.StatusNoContent || w.times != 0 || len(w.header) != 0 {
		t.Errorf("status %d, the header was asked for %d times: %v", w.status, w.times, w.header)
	}
}
