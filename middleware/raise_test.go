package middleware_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// TestInnerDoorsChargeWhatTheyAskBeyond: amounts and limits of their own, by the
// difference, and if one refuses, all of it comes back.
func TestInnerDoorsChargeWhatTheyAskBeyond(t *testing.T) {
	reports := apikey.Limit{Name: "reports", N: 1, Period: apikey.Ever}
	two := apikey.Limit{Name: "slow", N: 2, Concurrent: true}
	for name, c := range map[string]struct {
		innermost middleware.Route
		status    int
		tokens    int64
	}{
		"admitted":               {middleware.Route{Need: middleware.AnyKey()}, 204, 70},
		"refused for its scopes": {middleware.Route{Need: middleware.AllOf("things:write")}, 403, 0},
		"refused for its amount": {middleware.Route{Need: middleware.AnyKey(), Amounts: []limiter.Amount{{Unit: "tokens", N: 1001}}}, 429, 0},
		"refused for its limit":  {middleware.Route{Need: middleware.AnyKey(), Cost: 3, Limits: []apikey.Limit{reports}}, 429, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNotary(t)
			k := newKit(t, middleware.Options{Limiter: n, OwnerLimits: []apikey.Limit{apikey.PerDay(100)}})
			id, token := k.key(limits(oneAtATime, tokensADay))
			outer := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Amounts: []limiter.Amount{{Unit: "tokens", N: 50}}})
			inner := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Cost: 2, Amounts: []limiter.Amount{{Unit: "tokens", N: 70}}, Limits: []apikey.Limit{two}})
			res := serve(outer.Wrap(inner.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tokens, slots := left(t, n, id, tokensADay), left(t, n, id, two); tokens != 930 || slots != 1 {
					t.Errorf("inside, %d tokens and %d slots are left", tokens, slots)
				}
				k.guard.Door(c.innermost).Wrap(noContent).ServeHTTP(w, r)
			}))), get(token))
			if res.StatusCode != c.status {
				t.Errorf("got %d: %s", res.StatusCode, body(t, res))
			}
			if wait := res.Header.Get("Retry-After"); wait != "" {
				t.Errorf("Retry-After %q, but waiting does not help", wait)
			}
			for l, want := range map[apikey.Limit]int64{tokensADay: 1000 - c.tokens, oneAtATime: 1, two: 2, reports: 1} {
				if got := left(t, n, id, l); got != want {
					t.Errorf("%d are left of %q, want %d", got, l.Name, want)
				}
			}
			owner := int64(100)
			if c.status == 204 {
				owner -= 2
			}
			if got := left(t, n, "owner:acme", apikey.PerDay(100)); got != owner {
				t.Errorf("%d are left of the owner's, want %d", got, owner)
			}
		})
	}
}

// TestAnInnerPlaceIsFreed, though the outermost door has none.
func TestAnInnerPlaceIsFreed(t *testing.T) {
	n := newNotary(t)
	k := newKit(t, middleware.Options{Limiter: n}, unlimited)
	id, token := k.key()
	inner := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Limits: []apikey.Limit{oneAtATime}})
	h := k.guard.Require(middleware.AnyKey())(inner.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if free := left(t, n, id, oneAtATime); free != 0 {
			t.Errorf("inside, %d places are free", free)
		}
	})))
	for range 2 {
		if res := serve(h, get(token)); res.StatusCode != 200 {
			t.Errorf("got %d", res.StatusCode)
		}
	}
}

// TestARefusedRaiseChargesNothing: a handler that catches the refusal of an inner
// door answers at the cost of the outer one, however often it has tried.
func TestARefusedRaiseChargesNothing(t *testing.T) {
	k := newKit(t, middleware.Options{Limiter: newNotary(t)})
	id, token := k.key(limits(apikey.PerDay(100)))
	inner := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Cost: 5, Limits: []apikey.Limit{{Name: "few", N: 4, Window: time.Hour}}}).Wrap(noContent)
	res := serve(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for range 3 {
			if res := serve(inner, r); res.StatusCode != 429 || !strings.HasPrefix(res.Header.Get("RateLimit"), `"day";r=99`) {
				t.Errorf("the inner door: %d, %s", res.StatusCode, res.Header.Get("RateLimit"))
			}
		}
	})), get(token))
	if got := left(t, middleware.LimiterOf(k.guard), id, apikey.PerDay(100)); res.StatusCode != 200 || got != 99 {
		t.Errorf("%d, and %d of 100 are left after a request that costs 1", res.StatusCode, got)
	}
}

// TestWhatIsSettledIsSharedOut: over all charges of nested doors, and once.
func TestWhatIsSettledIsSharedOut(t *testing.T) {
	for spent, want := range map[int64]int64{0: 0, 20: 20, 50: 50, 60: 60, 70: 70, 200: 200} {
		n := newNotary(t)
		k := newKit(t, middleware.Options{Limiter: n})
		id, token := k.key(limits(tokensADay))
		door := func(tokens int64) func(http.Handler) http.Handler {
			return k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Amounts: []limiter.Amount{{Unit: "tokens", N: tokens}}}).Wrap
		}
		serve(door(50)(door(70)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := middleware.SetCost(r.Context(), "tokens", spent); err != nil {
				t.Error(err)
			}
		}))), get(token))
		if got := 1000 - left(t, n, id, tokensADay); got != want {
			t.Errorf("a request that spent %d is charged %d", spent, got)
		}
	}
}
