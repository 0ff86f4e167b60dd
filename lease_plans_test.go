package latchkey_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// Plans that have changed are in force in every process when RefreshPlans returns:
// at once when all is well, and a lease later in a process that is cut off.
func TestRefreshPlansReachesEveryProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		source := plans{"basic": {Name: "basic", Limits: []apikey.Limit{apikey.PerMinute(100)}}}
		var all [3]*latchkey.Service
		var links [3]*link
		for i := range all {
			links[i] = &link{store: store, delay: time.Millisecond}
			all[i] = serviceOn(t, links[i], latchkey.Options{PlanSource: source, DefaultPlan: "basic", MaxStale: time.Hour})
			defer all[i].Close(t.Context())
		}
		_, token := create(t, all[0])
		limit := func(s *latchkey.Service) int64 {
			v, err := engine.Of(s).Verify(t.Context(), token)
			if err != nil {
				return 0 // refused, rather than by limits that may not hold any more
			}
			return v.Limits()[0].N
		}
		for _, s := range all {
			if got := limit(s); got != 100 {
				t.Fatalf("limit %d, want 100", got)
			}
		}
		source["basic"] = apikey.Plan{Name: "basic", Limits: []apikey.Limit{apikey.PerMinute(7)}}
		began := time.Now()
		refreshPlans(t, all[0])
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("RefreshPlans took %v with all processes alive", took)
		}
		for i, s := range all {
			if got := limit(s); got != 7 {
				t.Errorf("process %d: limit %d after RefreshPlans returned in another, want 7", i, got)
			}
		}
		links[2].cut.Store(true)
		source["basic"] = apikey.Plan{Name: "basic", Limits: []apikey.Limit{apikey.PerMinute(3)}}
		refreshPlans(t, all[1])
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("RefreshPlans took %v with a process that is cut off", took)
		}
		for i, s := range all {
			if got := limit(s); got != 3 && (got != 0 || i != 2) {
				t.Errorf("process %d: limit %d after RefreshPlans returned in another, want 3", i, got)
			}
		}
		links[2].cut.Store(false)
		time.Sleep(4 * time.Second)
		if got := limit(all[2]); got != 3 {
			t.Errorf("limit %d where the way to the store is back, want 3", got)
		}
		links[0].cut.Store(true)
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		want(t, "RefreshPlans without a way to the store", all[0].RefreshPlans(soon), apikey.Unavailable)
		links[0].cut.Store(false)
	})
}

// Two services on one store within a process hear of each other's plans.
func TestRefreshPlansReachesServicesOnTheSameStore(t *testing.T) {
	store := memstore.New()
	source := plans{"basic": {Name: "basic", Limits: []apikey.Limit{apikey.PerMinute(100)}}}
	o := latchkey.Options{PlanSource: source, DefaultPlan: "basic"}
	one, two := serviceOn(t, store, o), serviceOn(t, store, o)
	_, token := create(t, one)
	want(t, "before", verify(t, two, token), nil)
	source["basic"] = apikey.Plan{Name: "basic", Limits: []apikey.Limit{apikey.PerMinute(7)}}
	refreshPlans(t, one)
	v, err := engine.Of(two).Verify(t.Context(), token)
	if err != nil || v.Limits()[0].N != 7 {
		t.Errorf("limits %v, error %v; want those of the new plan", v.Limits(), err)
	}
}

// slowPlans takes a while to answer, with what was true when it was asked.
type slowPlans struct{ perMinute, takes atomic.Int64 }

func (p *slowPlans) Plan(_ context.Context, name string) (apikey.Plan, error) {
	n := p.perMinute.Load()
	time.Sleep(time.Duration(p.takes.Load()))
	return apikey.Plan{Name: name, Limits: []apikey.Limit{apikey.PerMinute(n)}}, nil
}

// A request that starts after RefreshPlans returned does not wait for a load that
// asked for the plans before it, and neither is decided by them.
func TestRefreshPlansOvertakesALoad(t *testing.T) {
	for _, shared := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			source := new(slowPlans)
			source.perMinute.Store(100)
			var store storage.Store = memstore.New()
			if shared {
				store = &link{store: newSharedStore(), delay: time.Millisecond}
			}
			o := latchkey.Options{PlanSource: source, DefaultPlan: "basic"}
			s, other := serviceOn(t, store, o), serviceOn(t, store, o)
			defer s.Close(t.Context())
			defer other.Close(t.Context())
			_, token := create(t, other)
			time.Sleep(2 * time.Second) // s knows that it has changed
			source.takes.Store(int64(1900 * time.Millisecond))
			early := make(chan error, 1)
			go func() { early <- verify(t, s, token) }()
			time.Sleep(100 * time.Millisecond)
			source.perMinute.Store(7)
			refreshPlans(t, other)
			v, err := engine.Of(s).Verify(t.Context(), token)
			if err != nil || v.Limits()[0].N != 7 {
				t.Errorf("a shared store: %v; limits %v, error %v; want those of the new plan", shared, v.Limits(), err)
			}
			<-early
		})
	}
}

// The limits of keys do not change while their source changes its own slice.
func TestPlansThatAreChangedInPlaceTakeEffectWithRefreshPlans(t *testing.T) {
	limits := []apikey.Limit{apikey.PerMinute(100)}
	s := newService(t, latchkey.Options{PlanSource: plans{"basic": {Name: "basic", Limits: limits}}, DefaultPlan: "basic"})
	_, token := create(t, s)
	limit := func() (int64, string) {
		v, err := engine.Of(s).Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return v.Limits()[0].N, v.RateLimitPolicy()
	}
	limit()
	limits[0].N = 7
	if n, _ := limit(); n != 100 {
		t.Errorf("limit %d before RefreshPlans, want 100", n)
	}
	refreshPlans(t, s)
	if n, policy := limit(); n != 7 || policy != `"minute";q=7;w=60` {
		t.Errorf("limit %d after RefreshPlans, announced as %s; want 7", n, policy)
	}
}
