package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// failOpen is a limiter that fails, and notes what it is asked.
type failOpen struct {
	*limiter.Window
	err     error
	settled int
}

func (f *failOpen) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	if f.err != nil {
		return limiter.Decision{}, f.err
	}
	return f.Window.Take(ctx, r)
}

func (f *failOpen) Settle(ctx context.Context, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	f.settled++
	if f.err != nil {
		return limiter.Decision{}, f.err
	}
	return f.Window.Settle(ctx, r, d, s)
}

// TestNothingIsGivenBackOfNothing: a limiter that failed open took nothing, and
// one that fails inside a request is answered as the guard says.
func TestNothingIsGivenBackOfNothing(t *testing.T) {
	w, _ := limiter.New(limiter.Options{})
	l := &failOpen{Window: w, err: errors.New("down")}
	n := newNest(t, func(o *middleware.Options) { o.Limiter, o.FailOpen = l, true })
	refused := n.guard.Require(middleware.AnyKey())(n.guard.Require(middleware.AllOf("things:write"))(noContent))
	if res := serve(refused, get(n.token)); res.StatusCode != 403 || l.settled != 0 {
		t.Errorf("got %d, settled %d times", res.StatusCode, l.settled)
	}
	dear := n.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.err = nil
		n.costing(5, apikey.AnyKey())(noContent).ServeHTTP(w, r)
	}))
	if res := serve(dear, get(n.token)); res.StatusCode != 204 {
		t.Errorf("got %d", res.StatusCode)
	}
	n.want("insufficient_scope ok", 5, once{Allowed: 1, Scope: 1})

	l = &failOpen{Window: w}
	n = newNest(t, func(o *middleware.Options) { o.Limiter = l })
	closed := n.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.err = errors.New("down")
		n.costing(5, apikey.AnyKey())(noContent).ServeHTTP(w, r)
	}))
	if res := serve(closed, get(n.token)); res.StatusCode != 503 {
		t.Errorf("got %d", res.StatusCode)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := strings.Join(n.decisions, " "); got != "unavailable" {
		t.Errorf("OnDecision saw %q", got)
	}
}

// TestALimiterThatCannotGiveBack: what a door took stays taken, the log says so
// once, and a higher cost is charged by the difference.
func TestALimiterThatCannotGiveBack(t *testing.T) {
	var log bytes.Buffer
	n := newNest(t, func(o *middleware.Options) {
		o.Limiter = struct{ limiter.Limiter }{o.Limiter}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	refused := n.guard.Require(middleware.AnyKey())(n.guard.Require(middleware.AllOf("things:write"))(noContent))
	for range 3 {
		if res := serve(refused, get(n.token)); res.StatusCode != 403 {
			t.Errorf("got %d", res.StatusCode)
		}
	}
	if got := strings.Count(log.String(), "cannot give back"); got != 1 {
		t.Errorf("it was logged %d times", got)
	}
	dear := n.guard.Require(middleware.AnyKey())(n.costing(5, apikey.AnyKey())(noContent))
	if res := serve(dear, get(n.token)); res.StatusCode != 204 {
		t.Errorf("got %d", res.StatusCode)
	}
	if res := serve(dear, get(n.token)); res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	n.want("insufficient_scope insufficient_scope insufficient_scope ok rate_limited", 9,
		once{Allowed: 1, Scope: 3, RateLimited: 1})
}

// settlePanics is a limiter with a mistake.
type settlePanics struct{ *limiter.Window }

func (settlePanics) Settle(context.Context, limiter.Request, limiter.Decision, limiter.Settlement) (limiter.Decision, error) {
	panic("mine")
}

// TestALimiterThatPanicsEndsItsRequest, which counts as refused and is reported
// once, whatever is between the doors.
func TestALimiterThatPanicsEndsItsRequest(t *testing.T) {
	for name, between := range map[string]func(http.Handler) http.Handler{"directly": same, "behind a writer that hides": hidden} {
		for _, silent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, silent %v", name, silent), func(t *testing.T) {
				t.Parallel()
				w, _ := limiter.New(limiter.Options{})
				want := "insufficient_scope"
				n := newNest(t, func(o *middleware.Options) {
					if o.Limiter = (settlePanics{w}); silent {
						o.OnDecision, want = nil, ""
					}
				})
				h := n.guard.Require(middleware.AnyKey())(between(n.guard.Require(middleware.AllOf("things:write"))(noContent)))
				ended := make(chan any)
				go func() { ended <- serveSpied(h, httptest.NewRecorder(), get(n.token)) }()
				select {
				case p := <-ended:
					if p != "mine" {
						t.Errorf("the request ended with %v", p)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("the request hangs")
				}
				n.want(want, 1, once{Scope: 1})
			})
		}
	}
}
