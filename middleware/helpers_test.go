package middleware_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

var ops = apikey.Actor{ID: "ops@example.com"}

// kit is a guard on a service of its own.
type kit struct {
	t     testing.TB
	keys  *latchkey.Service
	guard *middleware.Guard
}

func newKit(t testing.TB, o middleware.Options, ko ...latchkey.Options) *kit {
	t.Helper()
	return newKitOn(t, memstore.New(), o, ko...)
}

func newKitOn(t testing.TB, store storage.Store, o middleware.Options, ko ...latchkey.Options) *kit {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	options := latchkey.Options{Environments: apikey.LiveAndTest("https://api.example.com", "https://sandbox.example.com")}
	if len(ko) > 0 {
		options = ko[0]
	}
	options.Logger = quiet
	keys, err := latchkey.New(store, options)
	if err != nil {
		t.Fatal(err)
	}
	if o.Logger == nil {
		o.Logger = quiet
	}
	guard, err := middleware.New(keys, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = guard.Close(context.Background())
		_ = keys.Close(context.Background())
	})
	return &kit{t, keys, guard}
}

// key creates a key and returns its id and token.
func (k *kit) key(change ...func(*latchkey.NewKey)) (id, token string) {
	k.t.Helper()
	n := latchkey.NewKey{Name: "production-backend", Owner: "acme", Scopes: []string{"things:read"}}
	for _, f := range change {
		f(&n)
	}
	key, secret, err := k.keys.Create(k.t.Context(), ops, n)
	if err != nil {
		k.t.Fatal(err)
	}
	return key.ID, secret.Reveal()
}

func (k *kit) revoke(id string) {
	k.t.Helper()
	if _, err := k.keys.Revoke(context.Background(), ops, id, "test"); err != nil {
		k.t.Error(err)
	}
}

// get makes a request to the live host with a bearer token, unless it is empty.
func get(token string) *http.Request {
	r := httptest.NewRequest("GET", "http://api.example.com/things", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// serve runs a request through a handler.
func serve(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// limits gives a key limits of its own.
func limits(l ...apikey.Limit) func(*latchkey.NewKey) {
	return func(n *latchkey.NewKey) { n.Limits = l }
}

// wide are two windows that no test fills.
func wide(n *latchkey.NewKey) {
	n.Limits = []apikey.Limit{apikey.PerMinute(1_000_000_000), apikey.PerDay(1_000_000_000)}
}

// unlimited makes services whose keys have no limits unless they are given some.
var unlimited = latchkey.Options{Plans: []apikey.Plan{{Name: "open", Unlimited: true}}}

// sink is a ResponseWriter that costs nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Flush()                      {}

// handlerFunc guards a handler that takes the principal as an argument.
func handlerFunc(g *middleware.Guard, need apikey.Requirement, h func(http.ResponseWriter, *http.Request, *apikey.Principal)) http.Handler {
	d := g.Door(middleware.Route{Need: need})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.Serve(w, r, h) })
}

// decide makes a decision about a request on another transport, which has not
// ended.
func decide(g *middleware.Guard, need apikey.Requirement, r middleware.Request) *middleware.Call {
	call := new(middleware.Call)
	g.Door(middleware.Route{Need: need}).Decide(context.Background(), call, r)
	return call
}
