package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// TestARefusalThatIsNotAnswered: a handler that tries a route with a recorder,
// and answers all the same, is no way around the limits; nor are doors in
// goroutines.
func TestARefusalThatIsNotAnswered(t *testing.T) {
	n := newNest(t, nil)
	inner := n.guard.Require(middleware.AllOf("things:write"))(noContent)
	dear := n.costing(4, apikey.AnyKey())(noContent)
	batch := n.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if got := serve(inner, r).StatusCode; got != 403 {
					t.Errorf("got %d", got)
				}
				if got := serve(dear, r).StatusCode; got != 204 {
					t.Errorf("got %d", got)
				}
			})
		}
		wg.Wait()
		w.WriteHeader(200)
	}))
	if res := serve(batch, get(n.token)); res.StatusCode != 200 {
		t.Errorf("got %d", res.StatusCode)
	}
	n.want("ok", 4, once{Allowed: 1})
	serve(n.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { serve(inner, r) })), get(n.token))
	n.want("ok ok", 5, once{Allowed: 2})
}

// TestARequestServedByASecondDoorIsCharged, whatever status it is answered with
// and whatever the first door said.
func TestARequestServedByASecondDoorIsCharged(t *testing.T) {
	for _, silent := range []bool{false, true} {
		n := newNest(t, func(o *middleware.Options) {
			if silent {
				o.OnDecision = nil
			}
		})
		first := n.guard.Require(middleware.AllOf("things:write"))(noContent)
		second := n.guard.Require(middleware.AllOf("things:read"))(http.NotFoundHandler())
		h := n.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got := serve(first, r).StatusCode; got != 403 {
				t.Errorf("got %d", got)
			}
			second.ServeHTTP(w, r)
		}))
		if res := serve(h, get(n.token)); res.StatusCode != 404 {
			t.Errorf("got %d", res.StatusCode)
		}
		decisions := "ok"
		if silent {
			decisions = ""
		}
		n.want(decisions, 1, once{Allowed: 1})
	}
}

// TestARequestThatWasServedStaysCharged: a door that refuses it after another
// one's handler has returned is too late, whatever the response says.
func TestARequestThatWasServedStaysCharged(t *testing.T) {
	for name, second := range map[string]func(n *nest) http.Handler{
		"the scope": func(n *nest) http.Handler { return n.guard.Require(middleware.AllOf("things:write"))(noContent) },
		"the cost":  func(n *nest) http.Handler { return n.costing(20, apikey.AnyKey())(noContent) },
	} {
		for how, behind := range map[string]func(http.Handler) http.Handler{"directly": same, "behind a writer that hides": hidden} {
			for end, first := range map[string]http.HandlerFunc{
				"returns": func(http.ResponseWriter, *http.Request) {},
				"panics":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			} {
				t.Run(name+" is refused, "+how+", the first "+end, func(t *testing.T) {
					t.Parallel()
					n := newNest(t, nil)
					read := n.guard.Require(middleware.AllOf("things:read"))(first)
					h := n.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						serveSpied(read, httptest.NewRecorder(), r)
						behind(second(n)).ServeHTTP(w, r)
					}))
					if res := serve(h, get(n.token)); res.StatusCode < 400 {
						t.Errorf("got %d", res.StatusCode)
					}
					n.want("ok", 1, once{Allowed: 1})
				})
			}
		}
	}
}
