package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// nest is a guard whose decisions, charges and counts are looked at.
type nest struct {
	*kit
	limits limiter.Limiter
	id     string
	token  string

	mu        sync.Mutex
	decisions []string
}

var tenAMinute = apikey.PerMinute(10)

func newNest(t testing.TB, change func(*middleware.Options)) *nest {
	t.Helper()
	w, err := limiter.New(limiter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := &nest{limits: w}
	o := middleware.Options{Limiter: w, OwnerLimits: []apikey.Limit{apikey.PerDay(100)}, OnDecision: func(_ context.Context, o middleware.Outcome) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.decisions = append(n.decisions, o.Code().String())
	}}
	if change != nil {
		change(&o)
	}
	n.limits = o.Limiter
	n.kit = newKit(t, o)
	n.id, n.token = n.key(limits(tenAMinute))
	return n
}

// demands is what a request of the cost asks of the limiter.
func (n *nest) demands(cost int64) limiter.Request {
	return limiter.Request{Demands: []limiter.Demand{
		{Subject: n.id, Limits: []apikey.Limit{tenAMinute}},
		{Subject: "owner:acme", Limits: []apikey.Limit{apikey.PerDay(100)}},
	}, Cost: cost}
}

// charged returns what the key and its owner are charged.
func (n *nest) charged() (key, owner int64) {
	n.t.Helper()
	d, err := n.limits.Peek(context.Background(), n.demands(0))
	if err != nil {
		n.t.Fatal(err)
	}
	return 10 - d.Windows[0].Remaining, 100 - d.Windows[1].Remaining
}

func (n *nest) counts() apikey.Counts {
	n.t.Helper()
	u, err := n.keys.Usage(context.Background(), n.id, time.Time{})
	if err != nil {
		n.t.Fatal(err)
	}
	return u.Of(1).Counts
}

// want fails the test unless the requests so far were decided, charged and
// counted like this.
func (n *nest) want(decisions string, charged int64, wanted apikey.Counts) {
	n.t.Helper()
	n.mu.Lock()
	got := strings.Join(n.decisions, " ")
	n.mu.Unlock()
	if got != decisions {
		n.t.Errorf("OnDecision saw %q, want %q", got, decisions)
	}
	if key, owner := n.charged(); key != charged || owner != charged {
		n.t.Errorf("the key is charged %d and its owner %d, want %d", key, owner, charged)
	}
	if got := n.counts(); got != wanted {
		n.t.Errorf("counted %v, want %v", got, wanted)
	}
}

func (n *nest) costing(cost int64, need apikey.Requirement) func(http.Handler) http.Handler {
	return n.guard.Door(middleware.Route{Need: need, Cost: cost}).Wrap
}

// opaque hides the writer below it, as compressing middleware may.
type opaque struct{ http.ResponseWriter }

func hidden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(opaque{w}, r) })
}

func timeout(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "") }

func same(next http.Handler) http.Handler { return next }

type once = apikey.Counts

// TestARequestIsDecidedOnceForAllOfItsDoors: whatever stands between the doors.
func TestARequestIsDecidedOnceForAllOfItsDoors(t *testing.T) {
	for name, between := range map[string]func(http.Handler) http.Handler{
		"directly": same, "behind TimeoutHandler": timeout, "behind a writer that hides": hidden,
	} {
		for _, c := range []struct {
			name      string
			doors     func(n *nest) []func(http.Handler) http.Handler // the outermost first
			before    int64                                           // charged by others
			status    int
			remaining string // of the key, in the response
			decisions string
			charged   int64
			counts    once
		}{
			{
				"admitted by both", func(n *nest) []func(http.Handler) http.Handler {
					return []func(http.Handler) http.Handler{n.guard.Require(middleware.AnyKey()), between, n.guard.Require(middleware.AllOf("things:read"))}
				},
				0, 204, ";r=9;", "ok", 1,
				once{Allowed: 1},
			},
			{
				"refused by the inner one", func(n *nest) []func(http.Handler) http.Handler {
					return []func(http.Handler) http.Handler{n.guard.Require(middleware.AnyKey()), between, n.guard.Require(middleware.AllOf("things:write"))}
				},
				3, 403, ";r=7;", "insufficient_scope", 3,
				once{Scope: 1},
			},
			{
				"refused by the innermost of four", func(n *nest) []func(http.Handler) http.Handler {
					return []func(http.Handler) http.Handler{n.guard.Require(middleware.AnyKey()), n.guard.Require(middleware.AllOf("things:read")), between, n.guard.Require(middleware.AnyKey()), between, n.guard.Require(middleware.AllOf("things:write"))}
				},
				0, 403, ";r=10,", "insufficient_scope", 0,
				once{Scope: 1},
			},
			{
				"a higher cost inside", func(n *nest) []func(http.Handler) http.Handler {
					return []func(http.Handler) http.Handler{n.guard.Require(middleware.AnyKey()), between, n.costing(4, apikey.AnyKey()), n.costing(2, apikey.AnyKey())}
				},
				5, 204, ";r=1;", "ok", 9,
				once{Allowed: 1},
			},
			{
				"a lower cost inside", func(n *nest) []func(http.Handler) http.Handler {
					return []func(http.Handler) http.Handler{n.costing(4, apikey.AnyKey()), between, n.guard.Require(middleware.AnyKey())}
				},
				0, 204, ";r=6;", "ok", 4,
				once{Allowed: 1},
			},
			{
				"a higher cost that does not fit", func(n *nest) []func(http.Handler) http.Handler {
					return []func(http.Handler) http.Handler{n.guard.Require(middleware.AnyKey()), between, n.costing(4, apikey.AnyKey())}
				},
				7, 429, ";r=3;", "rate_limited", 7,
				once{RateLimited: 1},
			},
			{
				"a cost that is raised, and then refused", func(n *nest) []func(http.Handler) http.Handler {
					return []func(http.Handler) http.Handler{n.guard.Require(middleware.AnyKey()), n.costing(3, apikey.AnyKey()), between, n.costing(6, middleware.AllOf("things:read")), n.guard.Require(middleware.AllOf("things:write"))}
				},
				4, 403, ";r=6;", "insufficient_scope", 4,
				once{Scope: 1},
			},
			{
				"optional outside, required inside", func(n *nest) []func(http.Handler) http.Handler {
					return []func(http.Handler) http.Handler{n.guard.Door(middleware.Route{Need: apikey.AnyKey(), Optional: true}).Wrap, between, n.guard.Require(middleware.AllOf("things:write"))}
				},
				0, 403, ";r=10,", "insufficient_scope", 0,
				once{Scope: 1},
			},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				n := newNest(t, nil)
				if c.before > 0 {
					if _, err := n.limits.Take(t.Context(), n.demands(c.before)); err != nil {
						t.Fatal(err)
					}
				}
				var h http.Handler = noContent
				doors := c.doors(n)
				for i := len(doors) - 1; i >= 0; i-- {
					h = doors[i](h)
				}
				res := serve(h, get(n.token))
				if res.StatusCode != c.status {
					t.Errorf("got %d, want %d", res.StatusCode, c.status)
				}
				if got := res.Header.Get("RateLimit"); !strings.Contains(got, c.remaining) || len(res.Header.Values("RateLimit")) != 1 {
					t.Errorf("RateLimit is %q, want %s", res.Header.Values("RateLimit"), c.remaining)
				}
				if wait := res.Header.Get("Retry-After"); (wait != "") != (c.status == 429) {
					t.Errorf("Retry-After is %q", wait)
				}
				n.want(c.decisions, c.charged, c.counts)
			})
		}
	}
}

// TestTooLateForAnInnerDoor: once the response has begun, the request stays
// admitted and charged, and the inner door keeps its handler from running.
func TestTooLateForAnInnerDoor(t *testing.T) {
	n := newNest(t, nil)
	ran := false
	inner := n.guard.Require(middleware.AllOf("things:write"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	h := n.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		n.mu.Lock()
		told := len(n.decisions)
		n.mu.Unlock()
		if told != 1 || n.counts().Allowed != 1 {
			t.Error("the use of a request is visible when its response begins")
		}
		inner.ServeHTTP(w, r)
		n.costing(5, apikey.AnyKey())(noContent).ServeHTTP(w, r)
	}))
	if res := serve(h, get(n.token)); res.StatusCode != 200 || ran {
		t.Errorf("got %d, the inner handler ran: %v", res.StatusCode, ran)
	}
	n.want("ok", 5, once{Allowed: 1})
}

// TestUseIsCountedBeforeTheHandlerRuns: one that takes its time hides nothing
// from the key's page.
func TestUseIsCountedBeforeTheHandlerRuns(t *testing.T) {
	n := newNest(t, nil)
	serve(n.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if got := n.counts().Allowed; got != 1 {
			t.Errorf("%d requests are counted", got)
		}
	})), get(n.token))
	// What was counted already, and is then refused, is taken back from the next.
	h := n.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.counts()
		n.guard.Require(middleware.AllOf("things:write"))(noContent).ServeHTTP(w, r)
	}))
	serve(h, get(n.token))
	serve(n.guard.Require(middleware.AnyKey())(noContent), get(n.token))
	n.want("ok insufficient_scope ok", 2, once{Allowed: 2, Scope: 1})
}

// TestDoorsOfTwoGuards are independent, also when they take turns.
func TestDoorsOfTwoGuards(t *testing.T) {
	n := newNest(t, nil)
	l := new(recorder)
	other, err := middleware.New(n.keys, middleware.Options{Limiter: l})
	if err != nil {
		t.Fatal(err)
	}
	h := n.guard.Require(middleware.AnyKey())(other.Require(middleware.AnyKey())(n.guard.Require(middleware.AnyKey())(other.Require(middleware.AnyKey())(n.guard.Require(middleware.AllOf("things:write"))(noContent)))))
	if res := serve(h, get(n.token)); res.StatusCode != 403 || l.taken != 1 {
		t.Errorf("got %d, the other guard charged %d times", res.StatusCode, l.taken)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := strings.Join(n.decisions, " "); got != "insufficient_scope" {
		t.Errorf("OnDecision saw %q", got)
	}
	if key, _ := n.charged(); key != 0 {
		t.Errorf("the key is charged %d", key)
	}
}

// TestOptionalDoorsWithoutAKey: one decision, the inner door's if it makes one.
func TestOptionalDoorsWithoutAKey(t *testing.T) {
	n := newNest(t, nil)
	optional := n.guard.Door(middleware.Route{Need: apikey.AnyKey(), Optional: true}).Wrap
	serve(optional(optional(noContent)), get(""))
	if res := serve(optional(n.guard.Require(middleware.AnyKey())(noContent)), get("")); res.StatusCode != 401 {
		t.Errorf("got %d", res.StatusCode)
	}
	serve(optional(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+n.token)
		n.guard.Require(middleware.AnyKey())(noContent).ServeHTTP(w, r)
	})), get(""))
	n.want("ok missing_key ok", 1, once{Allowed: 1})
}

// TestWhoAmIInsideADoor is no second request.
func TestWhoAmIInsideADoor(t *testing.T) {
	n := newNest(t, nil)
	res := serve(n.guard.Require(middleware.AnyKey())(n.guard.WhoAmI()), get(n.token))
	if text := body(t, res); res.StatusCode != 200 || !strings.Contains(text, `"remaining":9`) {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	n.want("ok", 1, once{Allowed: 1})
}

// TestOnDecisionIsToldOnceHoweverTheHandlerEnds.
func TestOnDecisionIsToldOnceHoweverTheHandlerEnds(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"nothing written": func(http.ResponseWriter, *http.Request) {},
		"a write":         func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")); _, _ = w.Write([]byte("x")) },
		"a flush":         func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"a panic":         func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"taken over": func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		},
	} {
		n := newNest(t, nil)
		done := make(chan struct{})
		guarded := n.guard.Require(middleware.AnyKey())(h)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(done)
			guarded.ServeHTTP(w, r)
		}))
		r, _ := http.NewRequest("GET", s.URL, nil)
		r.Host = "api.example.com"
		r.Header.Set("Authorization", "Bearer "+n.token)
		if res, err := s.Client().Do(r); err == nil {
			_ = res.Body.Close()
		}
		<-done
		s.Close()
		t.Log(name)
		n.want("ok", 1, once{Allowed: 1})
	}
}

// TestARevokedKeyInsideADoor: the refusal is that of the request, once.
func TestARevokedKeyInsideADoor(t *testing.T) {
	n := newNest(t, nil)
	h := n.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.revoke(n.id)
		n.guard.Require(middleware.AnyKey())(noContent).ServeHTTP(w, r)
	}))
	if res := serve(h, get(n.token)); res.StatusCode != 401 {
		t.Errorf("got %d", res.StatusCode)
	}
	n.want("ok", 1, once{Allowed: 1, Cut: 1})
}
