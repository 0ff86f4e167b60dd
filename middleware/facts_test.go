package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// slow is a limiter that takes its time.
type slow struct{ limiter.Limiter }

func (s slow) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	time.Sleep(70 * time.Millisecond)
	return s.Limiter.Take(ctx, r)
}

// TestOnDecisionKnowsTheRouteAndTheTime: wherever the mux is, and on any transport.
func TestOnDecisionKnowsTheRouteAndTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		window, err := limiter.New(limiter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []middleware.Outcome
		guard := latchkeytest.NewGuard(t, latchkeytest.Options{Guard: middleware.Options{
			Limiter:    slow{window},
			OnDecision: func(_ context.Context, o middleware.Outcome) { got = append(got, o) },
		}})
		key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Scopes: []string{"things:read"}})
		door := guard.Door(middleware.Route{Need: middleware.AnyKey()})
		ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
		mux := func(h http.Handler) http.Handler {
			m := http.NewServeMux()
			m.Handle("GET /v1/things/{id}", h)
			return m
		}
		optional := guard.Door(middleware.Route{Need: middleware.AnyKey(), Optional: true})
		keyless := httptest.NewRequest("GET", "/v1/things/7", nil)
		for name, c := range map[string]struct {
			h    http.Handler
			r    *http.Request
			code apikey.Code
			took time.Duration
		}{
			"inside a mux":               {mux(door.Wrap(ok)), key.Request("GET", "/v1/things/7", nil), apikey.OK, 70 * time.Millisecond},
			"around a mux":               {door.Wrap(mux(ok)), key.Request("GET", "/v1/things/7", nil), apikey.OK, 70 * time.Millisecond},
			"nested":                     {door.Wrap(mux(door.Wrap(ok))), key.Request("GET", "/v1/things/7", nil), apikey.OK, 70 * time.Millisecond},
			"refused inside":             {door.Wrap(mux(guard.Require(middleware.AllOf("things:write"))(ok))), key.Request("GET", "/v1/things/7", nil), apikey.InsufficientScope, 0},
			"refused":                    {mux(door.Wrap(ok)), keyless, apikey.MissingKey, 0},
			"without a key around a mux": {optional.Wrap(mux(ok)), keyless, apikey.OK, 0},
		} {
			got = nil
			c.h.ServeHTTP(httptest.NewRecorder(), c.r)
			if len(got) != 1 || got[0].Code() != c.code || got[0].Route() != "GET /v1/things/{id}" || got[0].Took() != c.took {
				t.Errorf("%s: want one decision, %v, on the route, after %v; got %d", name, c.code, c.took, len(got))
				for _, o := range got {
					t.Logf("%v on %q after %v", o.Code(), o.Route(), o.Took())
				}
			}
		}
		for name, early := range map[string]bool{"known before": true, "known later": false} {
			got = nil
			r := key.Request("GET", "/v1/things/7", nil)
			ask := middleware.Request{Fields: r.Header, Host: r.Host}
			if early {
				ask.Pattern = "/v1/things/{id}"
			}
			var call middleware.Call
			door.Decide(t.Context(), &call, ask)
			if !early {
				call.Matched("/v1/things/{id}")
			}
			_ = call.End(200)
			if len(got) != 1 || got[0].Route() != "/v1/things/{id}" || got[0].Took() != 70*time.Millisecond {
				t.Errorf("a Call whose route is %s: %d decisions, %+v", name, len(got), got)
			}
		}
	})
}
