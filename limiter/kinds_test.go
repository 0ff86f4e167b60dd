package limiter_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
	"github.com/wontopos/latchkey/limiter"
)

var busy = apikey.Limit{Name: "busy", N: 3, Concurrent: true}

func TestASlotIsFreedOnceAndByItsRequestOnly(t *testing.T) {
	w := newWindow(t, limiter.Options{})
	r := ask("k", busy, minute)
	r.Demands = append(r.Demands, limiter.Demand{Subject: "owner", Limits: []apikey.Limit{{Name: "busy", N: 5, Concurrent: true}}})
	other := ask("other", busy)
	over := limiter.Settlement{Cost: 1, Over: true}
	var open []limiter.Decision
	for range 3 {
		open = append(open, mustTake(t, w, r))
	}
	elsewhere := mustTake(t, w, other)
	if d := mustTake(t, w, r); d.Allowed || d.RetryAfter != limiter.Unknown || !d.Windows[0].Violated || d.Windows[1].Violated || d.Slot != 0 {
		t.Errorf("a fourth request in progress: %+v", d)
	}
	settle(t, w, r, open[0], limiter.Settlement{Cost: 1}) // not over
	for name, d := range map[string]limiter.Decision{"none": {At: open[0].At}, "of another subject": elsewhere, "unknown": {At: open[0].At, Slot: 1 << 60}} {
		if after := settle(t, w, r, d, over); after.Windows[0].Remaining != 0 || after.Windows[2].Remaining != 2 {
			t.Errorf("a slot, %s, frees nothing: %+v", name, after)
		}
	}
	for range 2 {
		if after := settle(t, w, r, open[0], over); after.Windows[0].Remaining != 1 || after.Windows[2].Remaining != 3 || after.Slot != 0 {
			t.Errorf("a request that is over frees its slots, once: %+v", after)
		}
	}
	if d := mustTake(t, w, r); !d.Allowed || d.Windows[0].Remaining != 0 {
		t.Errorf("a free slot is taken again: %+v", d)
	}
}

// Many at once, with slots enough to need more room than at first.
func TestNeverMoreThanNRequestsAreInProgress(t *testing.T) {
	w := newWindow(t, limiter.Options{})
	limit := apikey.Limit{Name: "busy", N: apikey.MaxConcurrent, Concurrent: true}
	r := ask("k", limit)
	var now, most, refused atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				var open []limiter.Decision
				for range 40 {
					d, err := w.Take(t.Context(), r)
					if err != nil {
						t.Error(err)
					}
					if !d.Allowed {
						refused.Add(1)
						continue
					}
					open = append(open, d)
					n := now.Add(1)
					for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
					}
				}
				for _, d := range open {
					now.Add(-1)
					if _, err := w.Settle(t.Context(), r, d, limiter.Settlement{Over: true}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	var open []limiter.Decision
	for range apikey.MaxConcurrent {
		if d := mustTake(t, w, r); d.Allowed {
			open = append(open, d)
		}
	}
	if most.Load() > limit.N || len(open) != apikey.MaxConcurrent || mustTake(t, w, r).Allowed {
		t.Errorf("%d were in progress at once, and then %d, of %d", most.Load(), len(open), limit.N)
	}
	for _, d := range open {
		settle(t, w, r, d, limiter.Settlement{Over: true})
	}
	if n := left(t, w, r)[0]; n != limit.N {
		t.Errorf("all is free again: %d are left", n)
	}
}

// A bucket with a request in progress, or with a quota that counts, is not idle.
func TestWhatIsInProgressIsNotSweptAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(t, limiter.Options{})
		credit := apikey.Limit{Name: "credit", N: 5, Period: apikey.Ever}
		d := mustTake(t, w, ask("busy", busy))
		mustTake(t, w, ask("credit", credit))
		time.Sleep(time.Hour)
		for i := range 20_000 {
			mustTake(t, w, ask(fmt.Sprint(i%200), second))
		}
		if a, b := left(t, w, ask("busy", busy))[0], left(t, w, ask("credit", credit))[0]; a != 2 || b != 4 {
			t.Errorf("a request in progress and a credit are kept: %d and %d are left", a, b)
		}
		settle(t, w, ask("busy", busy), d, limiter.Settlement{Over: true})
		for i := range 20_000 {
			mustTake(t, w, ask(fmt.Sprint(i%200), second))
		}
		if n := w.Size("busy"); n != 0 {
			t.Errorf("a subject whose requests are over is let go: %d bytes", n)
		}
	})
}

func TestLimitsOfRoutesKeepTheirCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(t, limiter.Options{})
		const routes = 60
		of := func(i int) limiter.Request {
			return ask("k", minute, day, apikey.Limit{Name: fmt.Sprint("route", i), N: 2, Window: time.Minute})
		}
		for i := range routes {
			if d := mustTake(t, w, of(i)); d.Allowed != (i < 60) || d.Windows[2].Remaining != 1 {
				t.Fatalf("route %d: %+v", i, d)
			}
		}
		time.Sleep(30 * time.Second)
		for i := range routes {
			if d, err := w.Peek(t.Context(), of(i)); err != nil || d.Windows[2].Remaining != 1 || d.Windows[0].Remaining != 0 {
				t.Fatalf("route %d lost its count: %+v, %v", i, d, err)
			}
		}
		for i := range 10 { // more than a subject may have
			_, err := w.Take(t.Context(), ask("k", apikey.Limit{Name: fmt.Sprint("more", i), N: 1, Window: time.Hour}))
			if i > 1 && !errors.Is(err, limiter.ErrInvalid) {
				t.Errorf("more than 64 limits in use are an error, and forget nothing: limit %d: %v", i+62, err)
			}
		}
		time.Sleep(30 * time.Second) // the routes are empty
		if d := mustTake(t, w, of(99)); !d.Allowed {
			t.Errorf("limits that are empty make room: %+v", d)
		}
	})
}

func TestWhatIsWrongIsNamedAndChargesNothing(t *testing.T) {
	good := ask("k", minute, apikey.Limit{Name: "tokens", N: 100, Window: time.Minute, Unit: "tokens"}, busy)
	good.Amounts = []limiter.Amount{{Unit: "tokens", N: 10}}
	limits := func(l apikey.Limit) func(*limiter.Request) {
		return func(r *limiter.Request) { r.Demands = ask("k", minute, l).Demands }
	}
	amounts := func(a ...limiter.Amount) func(*limiter.Request) {
		return func(r *limiter.Request) { r.Amounts = a }
	}
	w := newWindow(t, limiter.Options{})
	taken := mustTake(t, w, good)
	want := left(t, w, good)
	for name, c := range map[string]struct {
		spoil func(*limiter.Request)
		says  string
	}{
		"negative amount":  {amounts(limiter.Amount{Unit: "tokens", N: -1}), "Amounts[0].N"},
		"unit twice":       {amounts(limiter.Amount{Unit: "a"}, limiter.Amount{Unit: "b"}, limiter.Amount{Unit: "a"}), "Amounts[2].Unit"},
		"no unit":          {amounts(limiter.Amount{N: 1}), "Amounts[0].Unit"},
		"five units":       {amounts(make([]limiter.Amount, 5)...), "Amounts"},
		"negative cost":    {func(r *limiter.Request) { r.Cost = -1 }, "Cost"},
		"no kind":          {limits(apikey.Limit{Name: "x", N: 1}), "must have exactly one"},
		"two kinds":        {limits(apikey.Limit{Name: "x", N: 1, Window: time.Minute, Concurrent: true}), "must have exactly one"},
		"unknown zone":     {limits(apikey.Limit{Name: "x", N: 1, Period: apikey.Daily, Zone: "Moon/Crater"}), "Zone"},
		"zone of credits":  {limits(apikey.Limit{Name: "x", N: 1, Period: apikey.Ever, Zone: "UTC"}), "Zone"},
		"unknown period":   {limits(apikey.Limit{Name: "x", N: 1, Period: "week"}), "Period"},
		"too many at once": {limits(apikey.Limit{Name: "x", N: 1001, Concurrent: true}), "N"},
		"N too large":      {limits(apikey.Limit{Name: "x", N: 1e9 + 1, Window: time.Minute}), "N"},
		"N of a known limit": {func(r *limiter.Request) {
			r.Demands = ask("k", apikey.Limit{Name: "busy", N: 0, Concurrent: true}).Demands
		}, "N"},
		"unit of a known limit": {func(r *limiter.Request) {
			r.Demands = ask("k", apikey.Limit{Name: "minute", N: 60, Window: time.Minute, Unit: "Tokens"}).Demands
		}, "Unit"},
		"unit of slots": {func(r *limiter.Request) {
			r.Demands = ask("k", apikey.Limit{Name: "busy", N: 3, Concurrent: true, Unit: "tokens"}).Demands
		}, "Unit"},
		"the same twice": {limits(apikey.Limit{Name: "minute", N: 7, Window: time.Minute}), "same"},
	} {
		r := good
		c.spoil(&r)
		_, took := w.Take(t.Context(), r)
		_, peeked := w.Peek(t.Context(), r)
		_, settled := w.Settle(t.Context(), r, taken, limiter.Settlement{Cost: 5})
		for verb, err := range map[string]error{"Take": took, "Peek": peeked, "Settle": settled, "Validate": r.Validate()} {
			if !errors.Is(err, limiter.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s, %s: %v, want ErrInvalid that names %s", name, verb, err, c.says)
			}
		}
	}
	for name, s := range map[string]limiter.Settlement{
		"Settlement.Cost":            {Cost: -1},
		"Settlement.Amounts[0].N":    {Amounts: []limiter.Amount{{Unit: "tokens", N: -1}}},
		"Settlement.Amounts[0].Unit": {Amounts: []limiter.Amount{{Unit: "bytes", N: 1}}},
		"Settlement.Amounts[1].Unit": {Amounts: []limiter.Amount{{Unit: "tokens"}, {Unit: "tokens"}}},
	} {
		if _, err := w.Settle(t.Context(), good, taken, s); !errors.Is(err, limiter.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v, want ErrInvalid that names %s", s, err, name)
		}
	}
	if got := left(t, w, good); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("an error charges nothing: %v are left, want %v", got, want)
	}
}

func TestGivingBackTwiceTakesNothingOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(t, limiter.Options{})
		r := ask("k", apikey.Limit{Name: "few", N: 100, Window: time.Minute}, apikey.Limit{Name: "many", N: 200, Window: time.Minute})
		r.Cost = 5
		one := mustTake(t, w, r)
		time.Sleep(2 * time.Second)
		mustTake(t, w, r)
		for range 3 {
			if after := settle(t, w, r, one, limiter.Settlement{}); after.Windows[0].Remaining != 95 || after.Windows[1].Remaining != 195 {
				t.Errorf("giving back takes at most what is there: %+v", after)
			}
		}
	})
}

// It takes settling above N to have more pairs than a window of 128 can hold.
func TestASmallWindowForgetsNothingThatIsSettledAboveN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(t, limiter.Options{})
		r := ask("k", apikey.Limit{Name: "tokens", N: 5, Window: time.Hour, Unit: "tokens"})
		r.Amounts = []limiter.Amount{{Unit: "tokens"}}
		var all []limiter.Decision
		for range 1000 {
			all = append(all, mustTake(t, w, r))
			time.Sleep(time.Second)
		}
		for _, d := range all {
			settle(t, w, r, d, limiter.Settlement{Amounts: []limiter.Amount{{Unit: "tokens", N: 1}}})
		}
		if d := mustTake(t, w, r); d.Allowed || d.RetryAfter != time.Hour-5*time.Second {
			t.Errorf("1000 were settled, and the next is admitted when all but 4 have left: %+v", d)
		}
		r.Amounts[0].N = 1
		if after := settle(t, w, r, all[999], limiter.Settlement{Amounts: []limiter.Amount{{Unit: "tokens", N: 1 << 62}}}); after.Windows[0].Remaining != 0 {
			t.Errorf("counts never wrap around: %+v", after)
		}
		time.Sleep(2 * time.Hour)
		if n := left(t, w, r)[0]; n != 5 {
			t.Errorf("all has left: %d are left of 5", n)
		}
	})
}

// Limits that do not change are compared once, as long as the subject counts the
// same.
func TestFixedLimitsAreComparedAnewWhenOthersCome(t *testing.T) {
	w, own := newWindow(t, limiter.Options{}), new(slot.Slot)
	hour := apikey.Limit{Name: "hour", N: 1000, Window: time.Hour}
	mine, others := ask("k", minute), ask("k", hour, day)
	decide := func(r limiter.Request, want ...int64) {
		t.Helper()
		var d limiter.Decision
		if err := w.DecideFixed(t.Context(), &r, own, &d); err != nil {
			t.Fatal(err)
		}
		for i, n := range want {
			if d.Windows[i].Remaining != n {
				t.Errorf("%d are left of limit %d, want %d", d.Windows[i].Remaining, i, n)
			}
		}
	}
	decide(mine, 59)
	decide(mine, 58)
	decide(others, 999, 999)
	decide(mine, 57)
	decide(others, 998, 998)
	decide(ask("k", hour), 997)
	decide(ask("k", hour, day), 996, 997)
	decide(ask("k", apikey.Limit{Name: "hour", N: 500, Window: time.Hour}), 495)
}

// What another request has laid out while a record was written is not in it.
func TestALimitThatComesDuringAWriteIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		first := apikey.Limit{Name: "first", N: 800, Window: time.Hour}
		for range 1 + 2 + 4 {
			mustTake(t, w, ask("k", first))
		}
		j.enter = func(op, _ string) {
			if op == "save" {
				time.Sleep(time.Second)
			}
		}
		var all sync.WaitGroup
		all.Go(func() { mustTake(t, w, ask("k", first)) })
		time.Sleep(time.Millisecond)
		all.Go(func() { mustTake(t, w, ask("k", day, first)) })
		all.Wait()
		mustTake(t, w, ask("k", day, first))
		w = newWindow(t, limiter.Options{Journal: j}) // the crash
		if got := left(t, w, ask("k", day, first)); got[0] > 998 || got[1] > 790 {
			t.Errorf("2 of a day and 10 of an hour were admitted before the crash: %v are left", got)
		}
	})
}
