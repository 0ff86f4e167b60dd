package limiter_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// Over random histories with 1, 4 and 8 instances, whose round trips take random
// times: no interval admits more than N, to a key or its owner, and a refusal is
// right but for the eighth of N that may be reserved for nothing.
func TestEscrowNeverAdmitsMoreThanN(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() || raceEnabled {
		seeds = 2
	}
	for _, instances := range []int{1, 4, 8} {
		for _, bare := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d instances, plain %t", instances, bare), func(t *testing.T) {
				t.Parallel()
				for seed := range seeds {
					synctest.Test(t, func(t *testing.T) { history(t, instances, bare, seed) })
				}
			})
		}
	}
}

func history(t *testing.T, instances int, bare bool, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, uint64(instances)))
	var lock sync.Mutex
	random := func(n int64) int64 { lock.Lock(); defer lock.Unlock(); return rng.Int64N(n) }
	f := newFleet(t, instances, bare, limiter.EscrowOptions{Block: 1 << (1 + seed%5)})
	f.delay = func() time.Duration { return time.Duration(random(int64(20 * time.Millisecond))) }
	n := []int64{60, 600, 2000}[seed%3]
	minute, ten := apikey.PerMinute(n), apikey.Limit{Name: "ten", N: 6 * n, Window: 10 * time.Minute}
	owner := apikey.Limit{Name: "owner", N: n + n/2, Window: time.Minute}
	grain := time.Minute/60 + 41*time.Millisecond // and the round trip
	if bare {
		grain += time.Second + time.Second/60
	}
	var wg sync.WaitGroup
	for i := range instances {
		own := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for range 5 { // phases of load from none to four times the limit
				rate := float64(n) / 60 / float64(instances) * own.Float64() * own.Float64() * 4
				poisson(own, max(rate, 0.1), time.Minute, func() {
					subject := fmt.Sprint("key", own.IntN(2))
					r := ask(subject, minute, ten)
					r.Demands = append(r.Demands, limiter.Demand{Subject: "owner", Limits: []apikey.Limit{owner}})
					if own.IntN(4) == 0 {
						r.Cost = 1 + own.Int64N(max(n/30, 2))
					}
					d, err := f.take(t, i, r)
					if err != nil {
						t.Errorf("Take: %v", err)
					}
					if !d.Allowed && d.RetryAfter > 0 {
						wrongly(t, f, r, d, grain, int64(instances))
					}
				})
			}
		})
	}
	wg.Wait()
	for _, subject := range []string{"key0", "key1"} {
		f.check(t, subject, minute, ten)
	}
	f.check(t, "owner", owner)
	t.Logf("seed %d: N %d, %d round trips for %d decisions", seed, n, f.trips.Load(), f.decisions)
}

// wrongly complains about a refusal for which there was room in each window.
func wrongly(t *testing.T, f *fleet, r limiter.Request, d limiter.Decision, grain time.Duration, instances int64) {
	for _, q := range r.Demands {
		for _, l := range q.Limits {
			longest := l.Window + l.Window/60 + grain
			// What is out in other calls is admitted later, or not at all.
			idle := l.N/8 + instances*max(r.Cost, 1)*2
			if f.counted(q.Subject, longest)+max(r.Cost, 1)+idle > l.N {
				return
			}
		}
	}
	t.Errorf("no more than an eighth of N lies idle: %+v was refused with %d admitted to the key and %d to its owner in a minute: %v",
		r, f.counted(r.Demands[0].Subject, time.Minute), f.counted(r.Demands[1].Subject, time.Minute), d)
}
