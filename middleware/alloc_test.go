package middleware_test

import (
	"net/http"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// TestAllocations holds the budgets. Doors buy the texts of several responses at
// once, so theirs are averages, rounded down; the memory of a request is its own.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		return // make test counts allocations in a run without it
	}
	k := newKit(t, middleware.Options{})
	_, token := k.key(wide)
	check := func(name string, budget float64, f func()) {
		t.Helper()
		if got := testing.AllocsPerRun(1000, f); got > budget {
			t.Errorf("%s allocates %v times, the budget is %v", name, got, budget)
		}
	}
	need := middleware.AllOf("things:read")
	r := get(token)
	bad := get(token[:len(token)-1])
	call := new(middleware.Call)
	decide := func(name string, g *middleware.Guard, req *http.Request) {
		door := g.Door(middleware.Route{Need: need})
		q := middleware.Request{Fields: fields{req.Header["Authorization"]}, Host: req.Host, Peer: req.RemoteAddr}
		check(name, 0, func() {
			*call = middleware.Call{}
			if door.Decide(t.Context(), call, q); call.Allowed() {
				_ = call.Begin(nil)
			}
			_ = call.End(http.StatusOK)
		})
	}
	decide("Decide", k.guard, r)
	decide("Decide on a bad key", k.guard, bad)
	window, err := limiter.New(limiter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := newKit(t, middleware.Options{Limiter: struct{ limiter.Limiter }{window}, OwnerLimits: []apikey.Limit{apikey.PerDay(1_000_000_000)}})
	_, other := elsewhere.key(wide)
	decide("Decide with a limiter of the caller's", elsewhere.guard, get(other))
	w := &sink{header: http.Header{}}
	handler := handlerFunc(k.guard, need, func(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) { w.WriteHeader(204) })
	check("a handler with the principal as an argument", 1, func() { handler.ServeHTTP(w, r) })
	require := k.guard.Require(middleware.AllOf("things:read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := middleware.PrincipalFrom(r.Context()); ok {
			w.WriteHeader(204)
		}
	}))
	check("Require", 1, func() { require.ServeHTTP(w, r) })
	if w.status != 204 {
		t.Error(w.status)
	}
}

// TestAllocatedBytesOfACall keeps what a request costs the garbage collector in mind.
func TestAllocatedBytesOfACall(t *testing.T) {
	if raceEnabled {
		return // make test counts allocations in a run without it
	}
	k := newKit(t, middleware.Options{})
	_, token := k.key(wide)
	h := k.guard.Require(middleware.AllOf("things:read"))(noContent)
	r, w := get(token), &sink{header: http.Header{}}
	res := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			h.ServeHTTP(w, r)
		}
	})
	if got := res.AllocedBytesPerOp(); got > 560 {
		t.Errorf("a request takes %d bytes, the budget is 560", got)
	}
}

// TestAllocationsOfRefusals: a flood of bad keys, or over a limit, makes the
// collector little work. What is left names the request, and for a limit its
// fields and sentences.
func TestAllocationsOfRefusals(t *testing.T) {
	if raceEnabled {
		return // make test counts allocations in a run without it
	}
	k := newKit(t, middleware.Options{})
	_, token := k.key(wide)
	_, limited := k.key(limits(apikey.PerMinute(1)))
	h := k.guard.Require(middleware.AllOf("things:read"))(noContent)
	serve(h, get(limited))
	for name, x := range map[string]struct {
		token  string
		budget float64
	}{
		"missing":  {"", 1},
		"mistyped": {token[:len(token)-1] + "_", 1},
		"limited":  {limited, 7},
	} {
		r, w := get(x.token), &sink{header: http.Header{}}
		if got := testing.AllocsPerRun(1000, func() { clear(w.header); h.ServeHTTP(w, r) }); got > x.budget {
			t.Errorf("refusing a %s key allocates %v times, the budget is %v", name, got, x.budget)
		}
	}
}
