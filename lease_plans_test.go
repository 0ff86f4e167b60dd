package latchkey_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
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
			v, err := s.Verify(t.Context(), token)
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
	v, err := two.Verify(t.Context(), token)
	if err != nil || v.Limits()[0].N != 7 {
		t.Errorf("limits %v, error %v; want those of the new plan", v.Limits(), err)
	}
}
