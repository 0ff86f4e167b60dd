package limiter_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// With a clock that jumps both ways, what is admitted is dated like the newest
// charge, and counts until the clock has passed that by a window.
func TestClockInBothDirectionsNeverAdmitsMore(t *testing.T) {
	for _, n := range []int64{10, 200} {
		for seed := range uint64(200) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 3))
				w := newWindow(t, limiter.Options{})
				r := ask("k", apikey.Limit{Name: "minute", N: n, Window: time.Minute})
				r.Cost = n / 10
				now := time.Duration(0)
				var dated []time.Duration // what was admitted, and not given back
				for range 100 {
					step := time.Duration(rng.Int64N(int64(3*time.Minute))) - 2*time.Minute
					w.Step(step)
					now += step
					dated = slices.DeleteFunc(dated, func(at time.Duration) bool { return at+time.Minute <= now })
					d := mustTake(t, w, r)
					if !d.Allowed {
						continue
					}
					if rng.IntN(10) == 0 {
						if after := settle(t, w, r, d, limiter.Settlement{}); after.Windows[0].Remaining != d.Windows[0].Remaining+r.Cost {
							t.Fatalf("what is given back is free: %d are left after %d", after.Windows[0].Remaining, d.Windows[0].Remaining)
						}
						continue
					}
					date := now
					for _, at := range dated {
						date = max(date, at)
					}
					if dated = append(dated, date); int64(len(dated))*r.Cost > n {
						t.Fatalf("%d of %d are admitted though the clock has not passed the first by its window", len(dated), n)
					}
				}
			})
		}
	}
}

func TestAPeriodStaysWhenTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		r := ask("k", apikey.Limit{Name: "day", N: 3, Period: apikey.Daily}, apikey.Limit{Name: "day", N: 3, Window: 24 * time.Hour})
		w.Step(time.Hour)
		for range 3 {
			mustTake(t, w, r)
		}
		w.Step(-30 * time.Hour) // the day before
		if d := mustTake(t, w, r); d.Allowed || d.RetryAfter < 47*time.Hour {
			t.Errorf("a clock that is set back begins no other day: %+v", d)
		}
		w = reopen(t, w, j)
		if d := mustTake(t, w, r); d.Allowed || d.Windows[0].Remaining != 0 {
			t.Errorf("nor does one that was set back across a restart: %+v", d)
		}
		time.Sleep(24 * time.Hour)
		if d := mustTake(t, w, r); !d.Allowed {
			t.Errorf("the next day begins at its time: %+v", d)
		}
	})
}
