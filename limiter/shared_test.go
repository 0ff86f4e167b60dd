package limiter_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/limiter/limitertest"
)

func newShared(t testing.TB, shared limiter.Limiter, o limiter.SharedOptions) *limiter.Shared {
	t.Helper()
	s, err := limiter.NewShared(shared, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain hides what a Window can do beyond a Limiter.
type plain struct{ limiter.Limiter }

// sharedHarness is a Shared over a Window of its own.
func sharedHarness(o limiter.SharedOptions) limitertest.Harness {
	return limitertest.Harness{
		New:       func(t testing.TB) limiter.Limiter { return newShared(t, newWindow(t, limiter.Options{}), o) },
		Histories: longer(1, 4),
	}
}

func TestShared(t *testing.T) {
	h := sharedHarness(limiter.SharedOptions{Instances: 1})
	h.Virtual = true
	limitertest.Run(t, h)
}

func TestNewSharedNamesTheWrongField(t *testing.T) {
	w := newWindow(t, limiter.Options{})
	for field, o := range map[string]limiter.SharedOptions{
		"Instances": {Instances: -1},
		"Timeout":   {Timeout: -1},
	} {
		if _, err := limiter.NewShared(w, o); !errors.Is(err, limiter.ErrInvalid) || !strings.Contains(err.Error(), "SharedOptions."+field) {
			t.Errorf("an error names the field %s: got %v", field, err)
		}
	}
	if _, err := limiter.NewShared(nil, limiter.SharedOptions{}); !errors.Is(err, limiter.ErrInvalid) {
		t.Errorf("a Shared needs a shared limiter: got %v", err)
	}
}

// TestSharedDecisionIsOneRoundTrip: whatever it names, and a refusal in a flood
// one a second.
func TestSharedDecisionIsOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, limiter.SharedOptions{})
		s := f.all[0]
		owned := func(key string) limiter.Request {
			r := ask(key, apikey.PerMinute(600))
			r.Demands = append(r.Demands, limiter.Demand{Subject: "owner", Limits: []apikey.Limit{minute}})
			return r
		}
		for range 60 {
			mustTake(t, s, owned("a"))
		}
		if n := f.trips.Load(); n != 60 {
			t.Errorf("60 admissions took %d round trips", n)
		}
		first := mustTake(t, s, owned("a"))
		before := f.trips.Load()
		for range 20_000 {
			time.Sleep(time.Millisecond)
			d := mustTake(t, s, owned("a"))
			if d.Allowed || d.Windows[0].Violated || !d.Windows[1].Violated || d.RetryAfter != first.RetryAfter-f.now() || d.Windows[1].Reset != d.RetryAfter {
				t.Fatalf("a remembered refusal counts down: got %v after %v, was %v", d, f.now(), first)
			}
		}
		if n := f.trips.Load() - before; n < 19 || n > 20 {
			t.Errorf("a flood over the limit costs a round trip a second: %d in 20 s", n)
		}
		if asked, remembered, alone := s.Decisions(); asked != 81 || remembered != 19_980 || alone != 0 {
			t.Errorf("Decisions tells how: %d asked, %d remembered, %d alone", asked, remembered, alone)
		}
		time.Sleep(first.RetryAfter - f.now() - 1)
		if d := mustTake(t, s, owned("a")); d.Allowed || d.RetryAfter != 1 {
			t.Errorf("nothing shorter than RetryAfter is enough: got %v", d)
		}
		time.Sleep(time.Nanosecond)
		if d := mustTake(t, s, owned("a")); !d.Allowed {
			t.Errorf("a refusal is remembered no longer than it holds: got %v", d)
		}
	})
}

func TestSharedRemembersARefusalOfTheSameRequestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, limiter.SharedOptions{})
		s, r := f.all[0], ask("k", minute)
		r.Cost = 40
		mustTake(t, s, r)
		r.Cost = 30
		if d := mustTake(t, s, r); d.Allowed {
			t.Fatalf("70 of 60: %v", d)
		}
		r.Cost = 5
		if d := mustTake(t, s, r); !d.Allowed || d.Windows[0].Remaining != 15 {
			t.Errorf("a refusal is of its cost: 5 of 20 gets %v", d)
		}
		r.Cost = 30
		for _, raised := range []apikey.Limit{apikey.PerMinute(100), {Name: "minute", N: 60, Window: time.Minute, Shadow: true}} {
			q := ask("k", raised)
			q.Cost = 30
			if d := mustTake(t, s, r); d.Allowed {
				t.Fatalf("75 of 60: %v", d)
			}
			if raised.Shadow {
				continue // for a Window that knows shadows
			}
			if d := mustTake(t, s, q); !d.Allowed {
				t.Errorf("a raised limit admits at once: got %v", d)
			}
		}
		if d := mustTake(t, s, r); d.Allowed {
			t.Errorf("a lowered limit refuses at once: got %v", d)
		}
	})
}

// TestSharedSeesWhatOthersGiveBack: within the second for which it remembers.
func TestSharedSeesWhatOthersGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, limiter.SharedOptions{})
		r := ask("k", minute)
		r.Cost = 60
		all := mustTake(t, f.all[0], r)
		if d := mustTake(t, f.all[1], ask("k", minute)); d.Allowed {
			t.Fatalf("61 of 60: %v", d)
		}
		if _, err := f.all[0].Settle(t.Context(), r, all, limiter.Settlement{Cost: 1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if d := mustTake(t, f.all[1], ask("k", minute)); !d.Allowed {
			t.Errorf("a second after 59 were given back elsewhere: %v", d)
		}
	})
}

// TestSharedRefusalOvertakenByASettlementIsForgotten: it was decided before the
// settlement, and arrives after it.
func TestSharedRefusalOvertakenByASettlementIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, limiter.SharedOptions{Timeout: time.Second})
		s, r := f.all[0], ask("k", minute)
		r.Cost = 60
		all := mustTake(t, s, r)
		var ways atomic.Int64
		f.delay = func() time.Duration { // there and back, of the refusal and of the settlement in between
			return []time.Duration{10, 300, 10, 10}[ways.Add(1)-1] * time.Millisecond
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if d := mustTake(t, s, ask("k", minute)); d.Allowed {
				t.Errorf("61 of 60: %v", d)
			}
		})
		time.Sleep(50 * time.Millisecond)
		wg.Go(func() {
			if _, err := s.Settle(t.Context(), r, all, limiter.Settlement{}); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		f.delay = nil
		if d := mustTake(t, s, ask("k", minute)); !d.Allowed {
			t.Errorf("after all was given back: %v", d)
		}
	})
}

// TestSharedFloodAsksForWhatItIsAdmitted: however many callers wait for the end of
// a refusal, those ask that are admitted, and hardly any other.
func TestSharedFloodAsksForWhatItIsAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, limiter.SharedOptions{})
		f.delay = func() time.Duration { return time.Millisecond }
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for i := range 128 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(5, uint64(i)))
				for f.now() < 3*time.Minute {
					if d, err := f.take(t, 0, ask("k", minute)); err != nil {
						t.Errorf("Take: %v", err)
					} else if d.Allowed {
						admitted.Add(1)
					}
					time.Sleep(time.Duration(1+rng.Int64N(50)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		f.check(t, "k", minute)
		if n, trips := admitted.Load(), f.trips.Load(); n < 170 || trips > n+3*180 {
			t.Errorf("in three minutes %d were admitted, with %d round trips", n, trips)
		}
	})
}

// TestSharedNeverAdmitsMoreThanN: over random histories with 1, 4 and 8
// instances, whose round trips take random times.
func TestSharedNeverAdmitsMoreThanN(t *testing.T) {
	for _, instances := range []int{1, 4, 8} {
		t.Run(fmt.Sprintf("%d instances", instances), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(longer(2, 6)) {
				synctest.Test(t, func(t *testing.T) { history(t, instances, seed) })
			}
		})
	}
}

func history(t *testing.T, instances int, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, uint64(instances)))
	var lock sync.Mutex
	random := func(n int64) int64 { lock.Lock(); defer lock.Unlock(); return rng.Int64N(n) }
	f := newFleet(t, instances, limiter.SharedOptions{})
	f.delay = func() time.Duration { return time.Duration(random(int64(20 * time.Millisecond))) }
	n := []int64{60, 600, 2000}[seed%3]
	minute, ten := apikey.PerMinute(n), apikey.Limit{Name: "ten", N: 6 * n, Window: 10 * time.Minute}
	owner := apikey.Limit{Name: "owner", N: n + n/2, Window: time.Minute}
	var wg sync.WaitGroup
	for i := range instances {
		own := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for range 5 { // phases of load from none to four times the limit
				rate := float64(n) / 60 / float64(instances) * own.Float64() * own.Float64() * 4
				poisson(own, max(rate, 0.1), time.Minute, func() {
					r := ask(fmt.Sprint("key", own.IntN(2)), minute, ten)
					r.Demands = append(r.Demands, limiter.Demand{Subject: "owner", Limits: []apikey.Limit{owner}})
					if own.IntN(4) == 0 {
						r.Cost = 1 + own.Int64N(max(n/30, 2))
					}
					d, err := f.take(t, i, r)
					if err != nil {
						t.Errorf("Take: %v", err)
					}
					if !d.Allowed && d.RetryAfter > 0 {
						wrongly(t, f, r, d, int64(instances)*max(n/30, 2))
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
}

// wrongly complains about a refusal for which there was room in each window, also
// for what other calls have been admitted and not noted yet.
func wrongly(t *testing.T, f *fleet, r limiter.Request, d limiter.Decision, out int64) {
	const way = 41 * time.Millisecond
	for _, q := range r.Demands {
		for _, l := range q.Limits {
			if f.counted(q.Subject, l.Window+l.Window/60+way)+max(r.Cost, 1)+out > l.N {
				return
			}
		}
	}
	t.Errorf("%+v was refused with %d admitted to the key and %d to its owner in a minute: %v",
		r, f.counted(r.Demands[0].Subject, time.Minute), f.counted(r.Demands[1].Subject, time.Minute), d)
}

// TestSharedWaitsNoLongerThanItsCaller: nor does it call that a failure.
func TestSharedWaitsNoLongerThanItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, limiter.SharedOptions{Timeout: time.Hour})
		f.delay = func() time.Duration { return time.Minute }
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := f.now()
		if _, err := f.all[0].Take(ctx, ask("k", minute)); !errors.Is(err, context.DeadlineExceeded) || f.now() != start+50*time.Millisecond {
			t.Errorf("got %v after %v", err, f.now()-start)
		}
		if err := f.all[0].Degraded(); err != nil {
			t.Errorf("a caller that gives up says nothing about the shared limiter: %v", err)
		}
	})
}
