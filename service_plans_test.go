package latchkey_test

import (
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
)

func refreshPlans(t testing.TB, s *latchkey.Service) {
	t.Helper()
	if err := s.RefreshPlans(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPlans(t *testing.T) {
	source := plans{"small": {Name: "small", Limits: []apikey.Limit{apikey.PerMinute(1)}}, "down": {}}
	s := newService(t, latchkey.Options{PlanSource: source, DefaultPlan: "small"})
	k, token := create(t, s)
	limits := func() []apikey.Limit {
		v, err := engine.Of(s).Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return v.Limits()
	}
	if got := limits(); got[0].N != 1 {
		t.Errorf("limits %v are not the plan's", got)
	}
	source["small"] = apikey.Plan{Name: "small", Limits: []apikey.Limit{apikey.PerMinute(7)}}
	refreshPlans(t, s)
	if got := limits(); got[0].N != 7 {
		t.Errorf("limits %v: a changed plan is not in force after RefreshPlans", got)
	}
	delete(source, "small")
	refreshPlans(t, s)
	want(t, "a key of a plan that is gone (never unlimited)", verify(t, s, token), apikey.Unavailable)
	source["small"] = apikey.Plan{Name: "small"} // limits forgotten
	want(t, "a plan without limits that does not say Unlimited", verify(t, s, token), apikey.Unavailable)
	source["small"] = apikey.Plan{Name: "small", Unlimited: true}
	if got := limits(); len(got) != 0 {
		t.Errorf("limits %v of an unlimited plan", got)
	}
	source["small"] = apikey.Plan{Name: "small"}
	refreshPlans(t, s)
	want(t, "a plan that was unlimited and does not say so any more", verify(t, s, token), apikey.Unavailable)
	if _, err := s.Update(t.Context(), ops, k.ID, latchkey.Update{Limits: &[]apikey.Limit{apikey.PerDay(3)}}); err != nil {
		t.Fatal(err)
	}
	if got := limits(); len(got) != 1 || got[0].N != 3 {
		t.Errorf("limits %v: the key's own do not replace the plan's", got)
	}
}
