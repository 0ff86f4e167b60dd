package limitertest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const (
	atOnce    = "at most N requests are in progress, and the next waits for one to end"
	slotOnce  = "a slot is freed once, and an unknown one frees nothing"
	slotAll   = "a request takes a slot of all its limits or of none"
	slotLasts = "a request in progress counts as long as it lasts"
	slotRaces = "concurrent requests in progress are never more than N"
)

var concurrentRules = []rule{
	{atOnce, needsConcurrent, progresses},
	{slotOnce, needsConcurrent, freesOnce},
	{slotAll, needsConcurrent, slotsTogether},
	{slotLasts, needsConcurrent, slotsLast},
	{slotRaces, needsConcurrent, slotsRace},
}

// atOnceLimit allows n requests in progress.
func atOnceLimit(n int64) apikey.Limit {
	return apikey.Limit{Name: "at-once", N: n, Concurrent: true}
}

// free ends a request that cost what it was taken at.
func (e *env) free(r limiter.Request, d limiter.Decision) limiter.Decision {
	e.Helper()
	return e.settleAs(r, d, limiter.Settlement{Cost: max(r.Cost, 1), Over: true})
}

func progresses(e *env) {
	r := with(ask("progresses", atOnceLimit(3), e.long(1000)), "owner of progresses", atOnceLimit(50))
	var running []limiter.Decision
	for i := range int64(3) {
		d := e.admit(atOnce, 1, costing(r, 10*i)) // whatever it costs
		if running = append(running, d); d.Slot == 0 || d.Windows[0].Remaining != 2-i || d.Windows[0].Reset != 0 || d.Windows[2].Remaining != 49-i {
			e.Errorf("%s: request %d of 3: Slot %d, %v", atOnce, i+1, d.Slot, d)
		}
	}
	for i := range int64(3) {
		if d := e.refuse(atOnce, r); d.RetryAfter != limiter.Unknown || d.Slot != 0 {
			e.Errorf("%s: nobody knows how long: Slot %d, %v", atOnce, d.Slot, d)
		}
		if d := e.peek(r); d.Allowed || d.Windows[0].Remaining != 0 {
			e.Errorf("%s: Peek: %v", atOnce, d)
		}
		after := e.free(costing(r, 10*i), running[i])
		if after.Windows[0].Remaining != 1 || after.Windows[2].Remaining != 48 {
			e.Errorf("%s: one of 3 ends: %v", atOnce, after)
		}
		e.admit(atOnce, 1, r)
	}
	if d := e.peek(ask("progresses", e.long(1000))); d.Windows[0].Remaining != 1000-31-3 {
		e.Errorf("a request that ends at what it cost keeps its charges: %v", d)
	}
}

func freesOnce(e *env) {
	r := ask("once", atOnceLimit(3), e.long(100))
	first := e.take(r)
	e.admit(slotOnce, 2, r)
	e.free(r, first)
	e.admit(slotOnce, 1, r)
	for _, d := range []limiter.Decision{first, first, {At: first.At, Slot: 1 << 60}, {At: first.At, Slot: 0}} {
		e.free(r, d)
		e.refuse(slotOnce, r)
	}
	other := e.take(ask("another", atOnceLimit(3)))
	e.settleAs(r, limiter.Decision{At: first.At, Slot: other.Slot}, limiter.Settlement{Cost: 1, Over: true})
	e.refuse(slotOnce, r)

	// One that is only settled goes on.
	r = ask("goes on", atOnceLimit(1), e.long(100))
	d := e.take(costing(r, 5))
	e.settle(costing(r, 5), d, 2)
	e.refuse(slotOnce, r)
	e.settleAs(costing(r, 2), d, limiter.Settlement{Cost: 0, Over: true})
	e.remaining(slotOnce, r, 1, 100)
}

func slotsTogether(e *env) {
	key, owner := atOnceLimit(2), atOnceLimit(3)
	reports := apikey.Limit{Name: "reports", N: 1, Concurrent: true}
	first := with(ask("key 1", key, reports), "owner", owner)
	second := with(ask("key 2", key), "owner", owner)
	e.take(second)
	d := e.admit(slotAll, 1, first)
	e.refuse(slotAll, first) // reports
	e.admit(slotAll, 1, second)
	e.refuse(slotAll, second) // both
	e.refuse(slotAll, ask("owner", owner))
	e.remaining(slotAll, with(ask("key 1", key, reports), "owner", owner), 1, 0, 0)
	e.free(first, d)
	e.remaining(slotAll, first, 2, 1, 1)

	// A window that refuses leaves the slots as they are, and the other way around.
	full := with(ask("key 3", key), "full", e.long(1))
	d = e.admit(slotAll, 1, full)
	for range 3 {
		e.refuse(slotAll, full)
	}
	e.remaining(slotAll, full, 1, 0)
	e.free(full, d)
	e.remaining(slotAll, full, 2, 0)
	busy := with(ask("busy", atOnceLimit(1)), "window", e.long(5))
	e.take(busy)
	e.refuse(slotAll, busy)
	e.remaining(slotAll, busy, 0, 4)
}

func slotsLast(e *env) {
	r := ask("lasts", atOnceLimit(1))
	d := e.take(r)
	for range 3 {
		if e.sleep(e.Unit); e.Virtual {
			e.sleep(100 * 24 * time.Hour)
		}
		e.refuse(slotLasts, r)
	}
	e.free(r, d)
	e.admit(slotLasts, 1, r)
}

func slotsRace(e *env) {
	const n = 5
	all := e.settler()
	keys, owner := make([]atomic.Int64, 2), atomic.Int64{}
	var wg sync.WaitGroup
	served := atomic.Int64{}
	for i := range 12 {
		rng := rand.New(rand.NewPCG(uint64(i), 5))
		wg.Go(func() {
			key := &keys[i%2]
			r := with(ask(fmt.Sprint("races ", i%2), atOnceLimit(n-1)), "owner of races", atOnceLimit(n))
			for range 20 {
				d, err := all.Take(e.Context(), r)
				if err != nil {
					e.Errorf("Take: %v", err)
					return
				}
				if !d.Allowed {
					time.Sleep(time.Duration(rng.Int64N(int64(time.Millisecond))))
					continue
				}
				served.Add(1)
				if a, b := key.Add(1), owner.Add(1); a > n-1 || b > n {
					e.Errorf("%s: %d of %d, and %d of %d of the owner", slotRaces, a, n-1, b, n)
				}
				time.Sleep(time.Duration(rng.Int64N(int64(time.Millisecond))))
				key.Add(-1)
				owner.Add(-1)
				if _, err := all.Settle(e.Context(), r, d, limiter.Settlement{Cost: 1, Over: true}); err != nil {
					e.Errorf("Settle: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if served.Load() < n {
		e.Errorf("%s: %d were served", slotRaces, served.Load())
	}
	e.remaining(slotRaces, with(ask("races 0", atOnceLimit(n-1)), "owner of races", atOnceLimit(n)), n-1, n)
}
