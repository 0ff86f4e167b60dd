package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// TestClientsAreToldOfEveryKindOfLimit, in the terms of the draft, and of no
// shadow.
func TestClientsAreToldOfEveryKindOfLimit(t *testing.T) {
	month := apikey.Limit{Name: "month", N: apikey.MaxQuotaN, Period: apikey.Monthly, Zone: "Europe/Berlin"}
	trial := apikey.Limit{Name: "trial", N: 7, Window: time.Hour, Shadow: true}
	for name, c := range map[string]struct {
		own, owner     []apikey.Limit
		policy, limits string
	}{
		"windows": {
			[]apikey.Limit{tenAMinute, tokensADay},
			nil,
			`"minute";q=10;w=60, "tokens";q=1000;w=86400;qu="tokens"`, `"minute";r=9;t=60, "tokens";r=1000`,
		},
		"others": {
			[]apikey.Limit{oneAtATime, credit},
			[]apikey.Limit{tenAMinute},
			`"parallel";q=1;qu="concurrent-requests", "credit";q=100, "owner-minute";q=10;w=60`, `"parallel";r=0, "credit";r=99, "owner-minute";r=9;t=60`,
		},
		"a number that no field can hold": {[]apikey.Limit{month}, nil, `"month";q=999999999999999`, `"month";r=999999999999999;t=`},
		"shadows":                         {[]apikey.Limit{trial, tenAMinute, trial2(trial)}, nil, `"minute";q=10;w=60`, `"minute";r=9;t=60`},
		"shadows alone":                   {[]apikey.Limit{trial}, nil, "", ""},
		"a shadow of the owner":           {[]apikey.Limit{tenAMinute}, []apikey.Limit{trial, credit}, `"minute";q=10;w=60, "owner-credit";q=100`, `"minute";r=9;t=60, "owner-credit";r=99`},
		"a shadow, and one of the owner":  {[]apikey.Limit{trial}, []apikey.Limit{trial, tenAMinute}, `"owner-minute";q=10;w=60`, `"owner-minute";r=9;t=60`},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, middleware.Options{OwnerLimits: c.owner, LegacyHeaders: true})
			_, token := k.key(limits(c.own...))
			res := serve(k.guard.Require(middleware.AnyKey())(noContent), get(token))
			if got := res.Header.Get("RateLimit-Policy"); res.StatusCode != 204 || got != c.policy {
				t.Errorf("%d, RateLimit-Policy is\n%s, want\n%s", res.StatusCode, got, c.policy)
			}
			if got := res.Header.Get("RateLimit"); got != c.limits && (!strings.HasSuffix(c.limits, "=") || !strings.HasPrefix(got, c.limits)) {
				t.Errorf("RateLimit is\n%s, want\n%s", got, c.limits)
			}
			call := decide(k.guard, middleware.AnyKey(), middleware.Request{Fields: get(token).Header, Host: "api.example.com"})
			for name, value := range call.ResponseFields() {
				if name == "RateLimit-Policy" && value != c.policy {
					t.Errorf("a Call has the policy %s", value)
				}
			}
			_ = call.End(200)
		})
	}
}

func trial2(l apikey.Limit) apikey.Limit { l.Name = "trial2"; return l }

// TestShadowsRefuseNobody: neither one limit nor all of a Guard, and hooks see
// what they would have refused.
func TestShadowsRefuseNobody(t *testing.T) {
	shadow := apikey.Limit{Name: "trial", N: 1, Window: time.Hour, Shadow: true}
	real := apikey.Limit{Name: "minute", N: 1, Window: time.Minute}
	for name, c := range map[string]struct {
		o      middleware.Options
		limits []apikey.Limit
		fields bool
	}{
		"a limit":          {middleware.Options{}, []apikey.Limit{shadow, apikey.PerDay(9)}, true},
		"of the owner":     {middleware.Options{OwnerLimits: []apikey.Limit{shadow}}, []apikey.Limit{apikey.PerDay(9)}, true},
		"a Guard":          {middleware.Options{Shadow: true}, []apikey.Limit{real, apikey.PerDay(9)}, false},
		"a Guard with I/O": {middleware.Options{Shadow: true, Limiter: newNotary(t)}, []apikey.Limit{real, apikey.PerDay(9)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var refused []bool
			c.o.OnDecision = func(_ context.Context, o middleware.Outcome) { refused = append(refused, o.ShadowRefused()) }
			k := newKit(t, c.o)
			id, token := k.key(limits(c.limits...))
			for range 3 {
				res := serve(k.guard.Require(middleware.AnyKey())(noContent), get(token))
				if res.StatusCode != 204 || (res.Header.Get("RateLimit") != "") != c.fields || strings.Contains(res.Header.Get("RateLimit"), "trial") {
					t.Errorf("got %d, RateLimit %q", res.StatusCode, res.Header.Get("RateLimit"))
				}
			}
			if len(refused) != 3 || refused[0] || !refused[1] || !refused[2] {
				t.Errorf("a shadow would have refused: %v, want the second and the third", refused)
			}
			if got := left(t, middleware.LimiterOf(k.guard), id, apikey.PerDay(9)); c.fields && got != 6 {
				t.Errorf("%d are left of a limit in force, want 6", got)
			}
			if res := serve(k.guard.Require(middleware.AllOf("things:write"))(noContent), get(token)); res.StatusCode != 403 {
				t.Errorf("a key without the scope: %d", res.StatusCode)
			}
		})
	}
	n := newNotary(t)
	k := newKit(t, middleware.Options{Shadow: true, Limiter: broken{n}})
	_, token := k.key(limits(real))
	if res := serve(k.guard.Require(middleware.AnyKey())(noContent), get(token)); res.StatusCode != 204 {
		t.Errorf("a shadow whose limiter is down: %d", res.StatusCode)
	}
}

// TestARefusalNamesNoShadow: a client cannot keep to what is not in force.
func TestARefusalNamesNoShadow(t *testing.T) {
	k := newKit(t, middleware.Options{LegacyHeaders: true})
	_, token := k.key(limits(apikey.Limit{Name: "trial", N: 1, Window: time.Hour, Shadow: true}, apikey.PerMinute(2)))
	h := k.guard.Require(middleware.AnyKey())(noContent)
	var res *http.Response
	for range 3 {
		res = serve(h, get(token))
	}
	text := body(t, res)
	if res.StatusCode != 429 || !strings.Contains(text, `"violated-policies":["minute"]`) || !strings.Contains(text, `"detail":"The limit of 2 per minute is reached. Try again in `) {
		t.Errorf("%d: %s", res.StatusCode, text)
	}
	if got := res.Header.Get("X-Ratelimit-Limit"); got != "2" {
		t.Errorf("X-RateLimit-Limit is %q", got)
	}
}

// TestALimitInForceWinsOverAShadow of the same name.
func TestALimitInForceWinsOverAShadow(t *testing.T) {
	reports := apikey.Limit{Name: "reports", N: 2, Window: time.Minute}
	for _, shadowed := range []string{"route", "key"} {
		k := newKit(t, middleware.Options{})
		ofRoute, ofKey := reports, reports
		if shadowed == "route" {
			ofRoute.Shadow, ofRoute.N = true, 1
		} else {
			ofKey.Shadow, ofKey.N = true, 1
		}
		_, token := k.key(limits(ofKey))
		h := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Limits: []apikey.Limit{ofRoute}}).Wrap(noContent)
		for i, want := range []int{204, 204, 429} {
			if res := serve(h, get(token)); res.StatusCode != want {
				t.Errorf("the %s has a shadow: request %d is answered %d, want %d", shadowed, i, res.StatusCode, want)
			}
		}
	}
}

// broken is a limiter that cannot decide.
type broken struct{ limiter.Limiter }

func (broken) Take(context.Context, limiter.Request) (limiter.Decision, error) {
	return limiter.Decision{}, limiter.ErrUnavailable
}

// TestRoutesHaveLimitsOfTheirOwn: in the same step, shared where they are the
// same, and each key's own.
func TestRoutesHaveLimitsOfTheirOwn(t *testing.T) {
	reports := apikey.Limit{Name: "reports", N: 2, Window: time.Minute}
	k := newKit(t, middleware.Options{OwnerLimits: []apikey.Limit{apikey.PerDay(100)}})
	one, token := k.key(limits(apikey.PerMinute(3)))
	_, other := k.key(limits(apikey.PerMinute(3)))
	route := func(l ...apikey.Limit) http.Handler {
		return k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Limits: l}).Wrap(noContent)
	}
	a, b, plain := route(reports), route(reports), route()
	for i, c := range []struct {
		h      http.Handler
		token  string
		status int
		field  string
	}{
		{a, token, 204, `"minute";r=2;t=60, "reports";r=1;t=60, "owner-day";r=99;t=86400`},
		{b, token, 204, `"minute";r=1;t=60, "reports";r=0;t=60, "owner-day";r=98;t=86400`},
		{a, token, 429, `"minute";r=1;`},
		{plain, token, 204, `"minute";r=0;t=60, "owner-day";r=97;t=86400`},
		{a, other, 204, `"minute";r=2;t=60, "reports";r=1;t=60, "owner-day";r=96;t=86400`},
	} {
		res := serve(c.h, get(c.token))
		if got := res.Header.Get("RateLimit"); res.StatusCode != c.status || !strings.HasPrefix(got, c.field) {
			t.Errorf("request %d: %d, RateLimit %s, want %s", i, res.StatusCode, got, c.field)
		}
		if text := body(t, res); c.status == 429 && !strings.Contains(text, `"violated-policies":["reports"]`) {
			t.Errorf("the refusal says %s", text)
		}
	}
	if n := left(t, middleware.LimiterOf(k.guard), one, reports); n != 0 {
		t.Errorf("the limit is not under the key's own name: %d are left", n)
	}
	// Among a key's own limits there may be the same one: the lower number applies.
	for own, want := range map[int64]int{1: 1, 9: 2} {
		_, token := k.key(limits(apikey.Limit{Name: "reports", N: own, Window: time.Minute}))
		admitted := 0
		for range 3 {
			if serve(a, get(token)).StatusCode == 204 {
				admitted++
			}
		}
		if admitted != want {
			t.Errorf("a key with %d, on a route with 2: %d are admitted", own, admitted)
		}
	}
	_, unlimited := k.key()
	if res := serve(a, get(unlimited)); res.Header.Get("RateLimit") == "" {
		t.Error("no limit of the route applies to a key of another plan")
	}
}

// TestARouteAddsLimitsToAPlanThatIsFull: a request has at most
// limiter.MaxWindows limits, whoever they belong to.
func TestARouteAddsLimitsToAPlanThatIsFull(t *testing.T) {
	four := func(name string, n int64) (all []apikey.Limit) {
		for i := range int64(4) {
			all = append(all, apikey.Limit{Name: fmt.Sprint(name, i), N: n + i, Window: time.Hour})
		}
		return all
	}
	k := newKit(t, middleware.Options{})
	_, token := k.key(limits(four("key", 10)...))
	h := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Limits: four("route", 2)}).Wrap(noContent)
	for i, want := range []int{204, 204, 429} {
		if res := serve(h, get(token)); res.StatusCode != want {
			t.Errorf("request %d: %d, want %d: %s", i, res.StatusCode, want, body(t, res))
		}
	}
}

// TestMistakesInARouteArePanics that name the field.
func TestMistakesInARouteArePanics(t *testing.T) {
	k := newKit(t, middleware.Options{OwnerLimits: []apikey.Limit{apikey.PerDay(1), apikey.PerMinute(1), credit}})
	unit := func(unit string, n int64) limiter.Amount { return limiter.Amount{Unit: unit, N: n} }
	for want, r := range map[string]middleware.Route{
		"Route.Amounts[0]":      {Amounts: []limiter.Amount{unit("", 1)}},
		"Route.Amounts[1]":      {Amounts: []limiter.Amount{unit("a", 1), unit("a", 1)}},
		"Route.Amounts[0] ":     {Amounts: []limiter.Amount{unit("a", -1)}},
		"Route.Amounts[1].Unit": {Amounts: []limiter.Amount{unit("tokens", 1), unit("Tokens", 1)}},
		"Route.Amounts":         {Amounts: make([]limiter.Amount, 5)},
		"Plan.Limits[0].N":      {Limits: []apikey.Limit{{Name: "x", Window: time.Minute}}},
		"Route.Limits[0].Name":  {Limits: []apikey.Limit{apikey.PerMinute(5)}},
		"Route.Limits[0].Name ": {Limits: []apikey.Limit{{Name: "minute", N: 60, Window: time.Hour}}},
		"Route.Limits":          {Limits: []apikey.Limit{credit, tokensADay, {Name: "a", N: 1, Window: time.Hour}, oneAtATime}},
	} {
		r.Need = middleware.AnyKey()
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, strings.TrimRight(want, " ")) {
					t.Errorf("%s: panicked with %q", want, p)
				}
			}()
			k.guard.Door(r)
		}()
	}
}

// billing has the plans of owners.
type billing struct {
	mu    sync.Mutex
	plans map[string]apikey.Plan
	err   error
	asked atomic.Int64
	gate  chan struct{} // nil, or closed before it answers
}

func (b *billing) Plan(_ context.Context, owner string) (apikey.Plan, error) {
	b.asked.Add(1)
	if b.gate != nil {
		<-b.gate
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.plans[owner]
	if !ok && b.err == nil {
		return p, apikey.NotFound
	}
	return p, b.err
}

func (b *billing) set(owner string, p apikey.Plan, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.plans, b.err = map[string]apikey.Plan{owner: p}, err
}

// TestOwnersHavePlans: asked for once, and again after RefreshPlans.
func TestOwnersHavePlans(t *testing.T) {
	source := &billing{gate: make(chan struct{})}
	plan := func(n int64) apikey.Plan { return apikey.Plan{Name: "team", Limits: []apikey.Limit{apikey.PerDay(n)}} }
	source.set("acme", plan(20), nil)
	k := newKit(t, middleware.Options{OwnerPlans: source, OwnerLimits: []apikey.Limit{apikey.PerDay(7)}})
	of := func(owner string) string {
		_, token := k.key(func(n *latchkey.NewKey) { n.Owner, n.Limits = owner, []apikey.Limit{apikey.PerMinute(50)} })
		return token
	}
	h := k.guard.Require(middleware.AnyKey())(noContent)
	policy := func(token string) string {
		res := serve(h, get(token))
		if res.StatusCode != 204 {
			return res.Status
		}
		_, owner, _ := strings.Cut(res.Header.Get("RateLimit-Policy"), ", ")
		return owner
	}
	acme, other := of("acme"), of("other")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := policy(acme); got != `"owner-day";q=20;w=86400` {
				t.Errorf("the owner's policy is %q", got)
			}
		})
	}
	close(source.gate)
	all.Wait()
	policy(acme)
	if n := source.asked.Load(); n != 1 {
		t.Errorf("the source was asked %d times", n)
	}
	if got := policy(other); got != `"owner-day";q=7;w=86400` {
		t.Errorf("an owner that the source does not have: %q", got)
	}
	source.set("acme", plan(30), nil)
	if got := policy(acme); got != `"owner-day";q=20;w=86400` {
		t.Errorf("before a refresh the policy is %q", got)
	}
	refresh := func() {
		if err := k.keys.RefreshPlans(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	refresh()
	if got := policy(acme); got != `"owner-day";q=30;w=86400` {
		t.Errorf("after a refresh the policy is %q", got)
	}
	for _, bad := range []struct {
		plan apikey.Plan
		err  error
	}{{plan(1), errors.New("down")}, {apikey.Plan{Name: "team"}, nil}} {
		source.set("acme", bad.plan, bad.err)
		refresh()
		if got := policy(acme); !strings.HasPrefix(got, "503") {
			t.Errorf("an owner whose limits nobody knows: %q", got)
		}
	}
	source.set("acme", apikey.Plan{Name: "team", Unlimited: true}, nil)
	if got := policy(acme); got != "" {
		t.Errorf("an unlimited owner has the policy %q", got)
	}
}

// TestAnOwnersPlanStaysThatOfItsRequest: a request is settled by the limits at
// which it was charged.
func TestAnOwnersPlanStaysThatOfItsRequest(t *testing.T) {
	source := new(billing)
	day := apikey.PerDay(20)
	source.set("acme", apikey.Plan{Name: "team", Limits: []apikey.Limit{oneAtATime, day}}, nil)
	k := newKit(t, middleware.Options{OwnerPlans: source, Limiter: newNotary(t)})
	_, token := k.key(limits(apikey.PerMinute(50)))
	serve(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		source.set("acme", apikey.Plan{Name: "team", Limits: []apikey.Limit{apikey.PerMinute(9)}}, nil)
		if err := k.keys.RefreshPlans(t.Context()); err != nil {
			t.Error(err)
		}
		serve(k.guard.Require(middleware.AnyKey())(noContent), get(token))
		if err := middleware.SetCost(r.Context(), "", 0); err != nil {
			t.Error(err)
		}
	})), get(token))
	for l, want := range map[apikey.Limit]int64{oneAtATime: 1, day: 20, apikey.PerMinute(9): 8} {
		if got := left(t, middleware.LimiterOf(k.guard), "owner:acme", l); got != want {
			t.Errorf("%d are left of %q, want %d", got, l.Name, want)
		}
	}
}

// TestAnOwnerIsSettledAfterARefresh: also if the client has gone.
func TestAnOwnerIsSettledAfterARefresh(t *testing.T) {
	day := apikey.PerDay(1000)
	k := newKit(t, middleware.Options{OwnerLimits: []apikey.Limit{day}})
	_, token := k.key(limits(apikey.PerMinute(50)))
	for range 20 {
		r := get(token)
		ctx, cancel := context.WithCancel(r.Context())
		serve(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := middleware.SetCost(r.Context(), "", 0); err != nil {
				t.Error(err)
			}
			if err := k.keys.RefreshPlans(t.Context()); err != nil {
				t.Error(err)
			}
			cancel()
		})), r.WithContext(ctx))
	}
	if got := left(t, middleware.LimiterOf(k.guard), "owner:acme", day); got != 1000 {
		t.Errorf("%d are left of the owner's 1000 after requests that cost nothing", got)
	}
}
