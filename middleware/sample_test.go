package middleware_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// lastUse returns what the key's page would tell.
func (k *kit) lastUse(id string) apikey.LastUse {
	k.t.Helper()
	u, err := k.keys.Usage(k.t.Context(), id, time.Now())
	if err != nil {
		k.t.Fatal(err)
	}
	return u.Last()
}

// TestLastUseTellsTheStatus: that of the response which the client got, however
// the handler ended.
func TestLastUseTellsTheStatus(t *testing.T) {
	body := strings.NewReader("body")
	for name, tc := range map[string]struct {
		want    int
		handler func(k *kit, id string, w http.ResponseWriter, r *http.Request)
	}{
		"nothing written":         {200, func(*kit, string, http.ResponseWriter, *http.Request) {}},
		"a body without a status": {200, func(_ *kit, _ string, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }},
		"a copied body":           {200, func(_ *kit, _ string, w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, body) }},
		"flushed": {200, func(_ *kit, _ string, w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.WriteHeader(500)
		}},
		"an error":                    {404, func(_ *kit, _ string, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }},
		"the first of two":            {503, func(_ *kit, _ string, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503); w.WriteHeader(200) }},
		"a hint is no status":         {204, func(_ *kit, _ string, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(204) }},
		"a panic before the response": {0, func(*kit, string, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		"a panic after it began": {201, func(_ *kit, _ string, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			panic(http.ErrAbortHandler)
		}},
		"cut before the response":            {401, func(k *kit, id string, w http.ResponseWriter, _ *http.Request) { k.revoke(id); w.WriteHeader(200) }},
		"cut after it began":                 {202, func(k *kit, id string, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202); k.revoke(id) }},
		"taken over":                         {0, func(_ *kit, _ string, w http.ResponseWriter, _ *http.Request) { takeOver(w) }},
		"taken over after a switch":          {101, func(_ *kit, _ string, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(101); takeOver(w) }},
		"cut, and nothing left to take over": {401, func(k *kit, id string, w http.ResponseWriter, _ *http.Request) { k.revoke(id); takeOver(w) }},
		"a handler behind an inner door": {204, func(k *kit, _ string, w http.ResponseWriter, r *http.Request) {
			k.guard.Require(middleware.AnyKey())(noContent).ServeHTTP(w, r)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, middleware.Options{})
			id, token := k.key()
			ended := make(chan struct{})
			h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tc.handler(k, id, w, r) }))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				h.ServeHTTP(w, r)
			}))
			defer server.Close()
			r, _ := http.NewRequest("GET", server.URL+"/things", nil)
			r.Host = "api.example.com"
			r.Header.Set("Authorization", "Bearer "+token)
			if res, err := server.Client().Do(r); err == nil {
				_ = res.Body.Close()
				if tc.want != 0 && res.StatusCode != tc.want {
					t.Errorf("the client got %d", res.StatusCode)
				}
			}
			<-ended
			if got := k.lastUse(id); got.Status != tc.want || got.Route != "GET /things" {
				t.Errorf("last use %+v, want status %d", got, tc.want)
			}
		})
	}
}

func takeOver(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// TestLastUseTellsTheRoute: the pattern of a mux inside or outside the guard,
// else the path, never the query.
func TestLastUseTellsTheRoute(t *testing.T) {
	ok := func(http.ResponseWriter, *http.Request) {}
	guarded := func(pattern string) func(k *kit) http.Handler { // the mux around the guard
		return func(k *kit) http.Handler {
			m := http.NewServeMux()
			m.Handle(pattern, k.guard.Require(middleware.AnyKey())(http.HandlerFunc(ok)))
			return m
		}
	}
	within := func(pattern string) func(k *kit) http.Handler { // the guard around the mux
		return func(k *kit) http.Handler {
			m := http.NewServeMux()
			m.HandleFunc(pattern, ok)
			return k.guard.Require(middleware.AnyKey())(m)
		}
	}
	for name, tc := range map[string]struct {
		handler func(k *kit) http.Handler
		target  string
		want    string
	}{
		"a pattern with a method":          {guarded("GET /v1/apis/{id}"), "/v1/apis/7?q=1", "GET /v1/apis/{id}"},
		"a pattern without one":            {guarded("/v1/apis/{id}"), "/v1/apis/7?q=1", "GET /v1/apis/{id}"},
		"a pattern with a host":            {guarded("api.example.com/v1/{rest...}"), "/v1/apis/7", "GET api.example.com/v1/{rest...}"},
		"a mux within":                     {within("GET /v1/apis/{id}"), "/v1/apis/7?q=1", "GET /v1/apis/{id}"},
		"a mux within that has no route":   {within("GET /v1/apis/{id}"), "/nowhere?q=1", "GET /nowhere"},
		"a pattern for every path":         {guarded("/"), "/v1/apis/7?q=1", "GET /v1/apis/7"},
		"a pattern for every path, by GET": {guarded("GET /"), "/v1/apis/7?q=1", "GET /v1/apis/7"},
		"a Mux": {func(k *kit) http.Handler {
			m := k.guard.Mux()
			m.Handle("GET /v1/{x}", apikey.AnyKey(), http.HandlerFunc(ok))
			return m
		}, "/v1/7", "GET /v1/{x}"},
		"WhoAmI":                             {func(k *kit) http.Handler { return k.guard.WhoAmI() }, "/me?x=y", "GET /me"},
		"no mux at all":                      {func(k *kit) http.Handler { return k.guard.Require(middleware.AnyKey())(http.HandlerFunc(ok)) }, "/v1/apis/7?secret=hunter2", "GET /v1/apis/7"},
		"markup in a path":                   {func(k *kit) http.Handler { return k.guard.Require(middleware.AnyKey())(http.HandlerFunc(ok)) }, "/%3Cscript%3Ealert(1)%3C/script%3E", "GET /%3Cscript%3Ealert(1)%3C/script%3E"},
		"control characters in a path":       {func(k *kit) http.Handler { return k.guard.Require(middleware.AnyKey())(http.HandlerFunc(ok)) }, "/a%00%0a%1b[31m", "GET /a%00%0a%1b[31m"},
		"a path of other letters, backwards": {func(k *kit) http.Handler { return k.guard.Require(middleware.AnyKey())(http.HandlerFunc(ok)) }, "/%E2%80%AEa", "GET /%E2%80%AEa"},
		"a long path":                        {func(k *kit) http.Handler { return k.guard.Require(middleware.AnyKey())(http.HandlerFunc(ok)) }, "/" + strings.Repeat("a", 500), "GET /" + strings.Repeat("a", 123)},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, middleware.Options{})
			id, token := k.key()
			r := httptest.NewRequest("GET", "http://api.example.com"+tc.target, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			serve(tc.handler(k), r)
			if got := k.lastUse(id); !strings.EqualFold(got.Route, tc.want) || len(got.Route) > 128 {
				t.Errorf("the route is %q, want %q", got.Route, tc.want)
			}
		})
	}
}

// TestAnAdapterTellsTheEnd: what Check's callers know of it.
func TestAnAdapterTellsTheEnd(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	q := middleware.Request{Fields: get(token).Header, Host: "api.example.com", Peer: "192.0.2.1:1", Method: "POST", Pattern: "/things/:id"}
	need := middleware.AllOf("things:read")
	o := decide(k.guard, need, q)
	if got := k.lastUse(id); got.Route != "POST /things/:id" || got.Status != 0 {
		t.Errorf("before the end: %+v", got)
	}
	_ = o.End(422)
	if got := k.lastUse(id); got.Route != "POST /things/:id" || got.Status != 422 {
		t.Errorf("after the end: %+v", got)
	}
	decide(k.guard, need, q)
	o = decide(k.guard, need, q) // not the one that is told of
	_ = o.End(500)
	if got := k.lastUse(id); got.Status != 0 {
		t.Errorf("the end of another request is told: %+v", got)
	}
	o = decide(k.guard, middleware.AnyKey(), middleware.Request{Fields: http.Header{}, Host: "api.example.com"})
	_ = o.End(401) // a refusal: nothing happens
}

// TestDoorsUseScopes: the outer one, and those inside it, though the request is
// counted once; so do adapters.
func TestDoorsUseScopes(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key(func(n *latchkey.NewKey) {
		n.Scopes = []string{"things:*", "things:read", "things:write", "orders:read", "orders:write"}
	})
	inner := k.guard.Require(middleware.AllOf("things:write"))(noContent)
	outer := k.guard.Require(middleware.AnyOf("things:read", "things:list"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		k.guard.Require(middleware.AllOf("things:write", "no:such"))(noContent).ServeHTTP(w, r)
	}))
	for range 2 { // the second time is not the sample
		serve(outer, get(token))
	}
	_ = decide(k.guard, middleware.AllOf("orders:read"), middleware.Request{Fields: get(token).Header, Host: "api.example.com"}).End(200)
	if got := k.usedScopes(id); !slices.Equal(got, []string{"orders:read", "things:read", "things:write"}) {
		t.Errorf("used %v", got)
	}
}

// TestARefusedRequestUsesNoScopes: those of the doors that would have admitted
// it are as unused as before.
func TestARefusedRequestUsesNoScopes(t *testing.T) {
	for name, between := range map[string]func(http.Handler) http.Handler{"directly": same, "behind TimeoutHandler": timeout, "behind a writer that hides": hidden} {
		k := newKit(t, middleware.Options{})
		id, token := k.key(func(n *latchkey.NewKey) { n.Scopes = []string{"things:read", "orders:read"} })
		doors := k.guard.Require(middleware.AllOf("things:read"))(between(k.guard.Require(middleware.AllOf("orders:read"))(between(k.guard.Require(middleware.AllOf("things:write"))(noContent)))))
		if res := serve(doors, get(token)); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %d", name, res.StatusCode)
		}
		if got := k.usedScopes(id); len(got) > 0 {
			t.Errorf("%s: used %v", name, got)
		}
	}
}

func (k *kit) usedScopes(id string) (scopes []string) {
	k.t.Helper()
	u, err := k.keys.Usage(k.t.Context(), id, time.Time{})
	if err != nil {
		k.t.Fatal(err)
	}
	for _, s := range u.Scopes {
		scopes = append(scopes, s.Scope)
	}
	return scopes
}

// TestAStreamTellsItsStatusWhenItEnds, and not before: its last status is not
// known.
func TestAStreamTellsItsStatusWhenItEnds(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	started, release := make(chan struct{}), make(chan struct{})
	h := k.guard.Mux()
	h.HandleFunc("GET /stream", apikey.AnyKey(), func(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {
		w.WriteHeader(200)
		close(started)
		<-release
	})
	done := make(chan error, 1)
	go func() {
		r := get(token)
		r.URL.Path = "/stream"
		res := serve(h, r)
		if res.StatusCode != 200 {
			done <- errors.New(res.Status)
		}
		close(done)
	}()
	<-started
	if got := k.lastUse(id); got.Route != "GET /stream" || got.Status != 0 {
		t.Errorf("in between: %+v", got)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := k.lastUse(id); got.Route != "GET /stream" || got.Status != 200 {
		t.Errorf("in the end: %+v", got)
	}
}
