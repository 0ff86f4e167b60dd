package limiter_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// Four instances at random arrivals. A block cannot be held longer than a
// segment, a second here, so what is saved depends on the requests in one.
func TestEscrowSavesRoundTrips(t *testing.T) {
	for _, c := range []struct {
		n     int64
		load  float64 // part of the limit
		block int
		trips float64 // at most, for a decision
		least float64 // admitted, of what could be
	}{
		{60, 0.5, 10, 1, 1},
		{600, 0.5, 10, 1, 1},
		{600, 0.9, 10, 0.85, 0.97},
		{6000, 0.5, 10, 0.3, 1},
		{6000, 0.9, 10, 0.25, 1},
		{6000, 0.9, 1, 1, 1},
		{60000, 0.5, 10, 0.12, 1},
		{60000, 0.9, 10, 0.12, 1},
		{60000, 0.9, 100, 0.03, 1},
		{6000, 2, 10, 0.1, 0.97},
	} {
		if raceEnabled && c.n > 6000 {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 4, false, limiter.EscrowOptions{Block: c.block})
			f.delay = func() time.Duration { return 500 * time.Microsecond }
			var wg sync.WaitGroup
			var admitted atomic.Int64
			for i := range 4 {
				wg.Go(func() {
					rate := float64(c.n) / 60 / 4 * c.load
					poisson(rand.New(rand.NewPCG(1, uint64(i))), rate, 3*time.Minute, func() {
						if d, _ := f.take(t, i, ask("k", apikey.PerMinute(c.n), apikey.PerDay(1000*c.n))); d.Allowed {
							admitted.Add(1)
						}
					})
				})
			}
			wg.Wait()
			f.check(t, "k", apikey.PerMinute(c.n))
			trips := float64(f.trips.Load()) / float64(f.decisions)
			part := float64(admitted.Load()) / min(float64(f.decisions), 3*float64(c.n))
			if trips > c.trips || part < c.least {
				t.Errorf("N %d at load %.1f with blocks of %d: %.3f round trips for a decision and %.3f admitted, want at most %.2f and at least %.2f",
					c.n, c.load, c.block, trips, part, c.trips, c.least)
			}
			t.Logf("N %d at load %.1f, blocks of %d: %.3f round trips for a decision, %.3f admitted", c.n, c.load, c.block, trips, part)
		})
	}
}

// A refusal is remembered until the instant when it can change.
func TestEscrowFloodCostsNoRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{})
		e, r := f.all[0], ask("k", minute)
		owned := func(key string) limiter.Request {
			r := ask(key, apikey.PerMinute(600))
			r.Demands = append(r.Demands, limiter.Demand{Subject: "owner", Limits: []apikey.Limit{minute}})
			return r
		}
		for range 61 {
			mustTake(t, e, r)
			mustTake(t, e, owned("a"))
		}
		mustTake(t, e, owned("b"))
		first := mustTake(t, e, r)
		before := f.trips.Load()
		for range 1000 {
			time.Sleep(time.Millisecond)
			d := mustTake(t, e, r)
			if d.Allowed || !d.Windows[0].Violated || d.RetryAfter != first.RetryAfter-f.now() || d.Windows[0].Reset != d.RetryAfter {
				t.Fatalf("a remembered refusal counts down: got %v after %v, was %v", d, f.now(), first)
			}
			for _, key := range []string{"a", "b"} {
				if d := mustTake(t, e, owned(key)); d.Allowed || d.Windows[0].Violated || !d.Windows[1].Violated {
					t.Fatalf("what refuses an owner refuses all of its keys: got %v", d)
				}
			}
		}
		if n := f.trips.Load() - before; n != 0 {
			t.Errorf("a flood over the limit costs no round trips: %d for 3000 refusals", n)
		}
		time.Sleep(first.RetryAfter - f.now() - 1)
		if d := mustTake(t, e, r); d.Allowed || d.RetryAfter != 1 {
			t.Errorf("nothing shorter than RetryAfter is enough: got %v", d)
		}
		time.Sleep(time.Nanosecond)
		if d := mustTake(t, e, r); !d.Allowed {
			t.Errorf("a refusal is remembered no longer than it holds: got %v", d)
		}
	})
}

func TestEscrowRefusalIsOfItsCostAndLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{})
		e, r := f.all[0], ask("k", minute)
		r.Cost = 40
		mustTake(t, e, r)
		r.Cost = 30
		if d := mustTake(t, e, r); d.Allowed {
			t.Fatalf("70 of 60: %v", d)
		}
		r.Cost = 5
		if d := mustTake(t, e, r); !d.Allowed || d.Windows[0].Remaining != 15 {
			t.Errorf("a refusal is of its cost: 5 of 20 gets %v", d)
		}
		r.Cost = 30
		raised := ask("k", apikey.PerMinute(100))
		raised.Cost = 30
		if d := mustTake(t, e, r); d.Allowed {
			t.Fatalf("75 of 60: %v", d)
		}
		if d := mustTake(t, e, raised); !d.Allowed {
			t.Errorf("a raised limit admits at once: got %v", d)
		}
		if d := mustTake(t, e, r); d.Allowed {
			t.Errorf("a lowered limit refuses at once: got %v", d)
		}
	})
}

// Those who come while one asks wait for what it brings.
func TestEscrowFirstUsesMakeOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{Block: 100, Timeout: time.Second})
		r := ask("k", perHour(6000))
		for range 3 { // 1, 2, 4 ...
			mustTake(t, f.all[0], r)
		}
		time.Sleep(time.Hour) // nothing is held, and the pace is forgotten
		f.delay = func() time.Duration { return 100 * time.Millisecond }
		before := f.trips.Load()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { mustTake(t, f.all[0], r) })
		}
		synctest.Wait() // one is out, seven wait for it
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			start := f.now()
			if _, err := f.all[0].Take(ctx, r); err == nil || ctx.Err() == nil || f.now() != start+50*time.Millisecond {
				t.Errorf("waiting ends with the context: got %v after %v", err, f.now()-start)
			}
		})
		wg.Wait()
		if n := f.trips.Load() - before; n > 4 { // 1, 2, 4, 8
			t.Errorf("concurrent first uses share round trips: %d for 8", n)
		}
	})
}
