package limiter_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
	"github.com/wontopos/latchkey/limiter"
)

// dirty is a decision that somebody used before.
func dirty() (d limiter.Decision) {
	d.Allowed, d.RetryAfter, d.N = true, time.Hour, limiter.MaxWindows
	for i := range d.Windows {
		d.Windows[i] = limiter.Status{Remaining: 7, Reset: time.Hour, Violated: true}
	}
	return d
}

func TestDecideAnswersAsTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken, decided := newWindow(t, limiter.Options{}), newWindow(t, limiter.Options{})
		limits := []apikey.Limit{{Name: "minute", N: 3, Window: time.Minute}, {Name: "hour", N: 9, Window: time.Hour}}
		for i := range 20 {
			r := ask("k", limits...)
			if i%3 == 0 {
				r.Demands = append(r.Demands, limiter.Demand{Subject: "owner", Limits: limits[1:]})
			}
			want, got := mustTake(t, taken, r), dirty()
			if err := decided.Decide(t.Context(), &r, nil, &got); err != nil || got != want {
				t.Fatalf("Decide is Take, whatever stood in its answer: got %v, %v, want %v", got, err, want)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

func TestDecideLeavesTheZeroDecisionWithAnError(t *testing.T) {
	failing := newJournal()
	failing.fail = errors.New("disk full")
	closed := newWindow(t, limiter.Options{})
	if err := closed.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wrong := ask("k", minute)
	wrong.Cost = -1
	for name, c := range map[string]struct {
		w *limiter.Window
		r limiter.Request
	}{
		"negative cost":   {newWindow(t, limiter.Options{}), wrong},
		"no subject":      {newWindow(t, limiter.Options{}), ask("", minute)},
		"limit of none":   {newWindow(t, limiter.Options{}), ask("k", apikey.Limit{Window: time.Minute})},
		"closed":          {closed, ask("k", minute)},
		"journal failing": {newWindow(t, limiter.Options{Journal: failing}), ask("k", minute)},
	} {
		d := dirty()
		if err := c.w.Decide(t.Context(), &c.r, nil, &d); err == nil || d != (limiter.Decision{}) {
			t.Errorf("%s: with an error the answer is the zero Decision: got %+v, %v", name, d, err)
		}
	}
}

func TestEitherOfTwoWindowsRefuses(t *testing.T) {
	small, large := apikey.Limit{Name: "small", N: 2, Window: time.Minute}, apikey.Limit{Name: "large", N: 9, Window: time.Hour}
	for i, limits := range [][]apikey.Limit{{small, large}, {large, small}} {
		w := newWindow(t, limiter.Options{})
		r := ask("k", limits...)
		for n := range 5 {
			d := mustTake(t, w, r)
			if d.Allowed != (n < 2) || d.Windows[i].Violated != (n >= 2) || d.Windows[1-i].Violated {
				t.Errorf("each window can refuse alone: request %d of 2 under %v: got %v", n+1, limits, d)
			}
			if want := 9 - int64(min(n+1, 2)); d.Windows[1-i].Remaining != want {
				t.Errorf("a request refused by one window is charged to none: %d remain, want %d", d.Windows[1-i].Remaining, want)
			}
		}
	}
}

// Request, demands and decision of a caller of Decide stay on its stack, with a
// slot and without, on one subject and on several.
func TestDecideAllocatesNothing(t *testing.T) {
	w := newWindow(t, limiter.Options{})
	limits := []apikey.Limit{apikey.PerMinute(1_000_000), apikey.PerDay(1_000_000_000)}
	first, ctx := new(slot.Slot), t.Context()
	for name, call := range map[string]func(){
		"alone": func() {
			var d limiter.Decision
			r := limiter.Request{Demands: []limiter.Demand{{Subject: "k:0123456789abcdef", Limits: limits}}}
			_ = w.Decide(ctx, &r, nil, &d)
		},
		"with a slot": func() {
			var d limiter.Decision
			r := limiter.Request{Demands: []limiter.Demand{{Subject: "s", Limits: limits}}}
			_ = w.Decide(ctx, &r, first, &d)
		},
		"on two subjects, with a slot": func() {
			var d limiter.Decision
			r := limiter.Request{Demands: []limiter.Demand{{Subject: "s", Limits: limits}, {Subject: "b", Limits: limits}}}
			_ = w.Decide(ctx, &r, first, &d)
		},
		"on four subjects": func() {
			var d limiter.Decision
			r := limiter.Request{Demands: []limiter.Demand{{Subject: "a", Limits: limits}, {Subject: "d", Limits: limits}, {Subject: "c", Limits: limits}, {Subject: "b", Limits: limits}}}
			_ = w.Decide(ctx, &r, nil, &d)
		},
	} {
		// A hundred calls at once: an allocation in a sweep must not be
		// rounded away.
		if n := testing.AllocsPerRun(20, func() {
			for range 100 {
				call()
			}
		}); n != 0 {
			t.Errorf("Decide of a known subject, %s: %v allocations in 100 calls, want none", name, n)
		}
	}
}

// Authors of limiters refuse with Validate what Take and Peek refuse.
func TestValidateSaysWhatALimiterWould(t *testing.T) {
	w := newWindow(t, limiter.Options{})
	for _, r := range []limiter.Request{
		{},
		ask("k", minute), ask("", minute), ask("k", minute, minute), ask("k", apikey.Limit{N: 1}),
		{Cost: -1},
		{Demands: make([]limiter.Demand, 5)},
		{Demands: []limiter.Demand{{Limits: nil}, {Subject: "k", Limits: []apikey.Limit{{N: -1, Window: time.Second}}}}},
	} {
		_, err := w.Take(t.Context(), r)
		if got := r.Validate(); (got == nil) != (err == nil) || got != nil && (!errors.Is(got, limiter.ErrInvalid) || got.Error() != err.Error()) {
			t.Errorf("%+v: Validate says %v, Take %v", r, got, err)
		}
	}
}
