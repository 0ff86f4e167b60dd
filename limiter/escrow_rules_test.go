package limiter_test

import (
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
)

func TestNewEscrowNamesTheWrongField(t *testing.T) {
	w := newWindow(t, limiter.Options{})
	for field, o := range map[string]limiter.EscrowOptions{
		"Instances": {Instances: -1},
		"Block":     {Block: -1},
		"Timeout":   {Timeout: -1},
	} {
		if _, err := limiter.NewEscrow(w, o); !errors.Is(err, limiter.ErrInvalid) || !strings.Contains(err.Error(), "EscrowOptions."+field) {
			t.Errorf("an error names the field %s: got %v", field, err)
		}
	}
	if _, err := limiter.NewEscrow(nil, limiter.EscrowOptions{}); !errors.Is(err, limiter.ErrInvalid) {
		t.Errorf("an Escrow needs a shared limiter: got %v", err)
	}
}

// warm makes the instance hold something of the subject if it can, and returns
// how much.
func warm(t *testing.T, f *fleet, i int, r limiter.Request) (held int64) {
	t.Helper()
	for range 30 {
		if _, err := f.take(t, i, r); err != nil {
			t.Fatal(err)
		}
		if held = f.all[i].Held(r.Demands[0].Subject); held > 1 {
			break
		}
	}
	return held
}

// What is held ends before its charge stops to cover the window that follows its
// use. Here one instance holds some, another takes the rest, and takes what comes
// free a window later: who used what it held too late would admit too much.
func TestEscrowUsesNothingTooLate(t *testing.T) {
	for _, bare := range []bool{false, true} {
		for round := range 40 {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 2, bare, limiter.EscrowOptions{Block: 20})
				limit := apikey.PerMinute(600)
				r := ask("k", limit)
				time.Sleep(time.Duration(round%8*125+60) * time.Millisecond)
				held := warm(t, f, 0, r)
				if held == 0 {
					t.Fatal("the test is to hold something")
				}
				for d, err := f.take(t, 1, r); err != nil || d.Allowed; {
					d, err = f.take(t, 1, r)
				}
				// Just in time at first, and then later and later.
				time.Sleep([]time.Duration{0, 500, 950, 2000, 20_000}[round/8] * time.Millisecond)
				for range held {
					f.take(t, 0, r)
				}
				time.Sleep(time.Minute - f.now())
				for f.now() < 64*time.Second {
					f.take(t, 1, r)
					time.Sleep(5 * time.Millisecond)
				}
				f.check(t, "k", limit)
			})
		}
	}
}

// The time of what is held runs from before it was asked for: an answer may take
// longer than that.
func TestEscrowCountsTheTimeOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{Block: 20, Timeout: time.Second})
		e, r := f.all[0], ask("k", apikey.PerMinute(6000))
		for f.now() < 850*time.Millisecond || e.Held("k") > 0 {
			f.take(t, 0, r)
			time.Sleep(5 * time.Millisecond)
		}
		// Decided 90 ms before the end of the segment, and answered 60 ms later.
		time.Sleep(850*time.Millisecond - f.now())
		f.delay = func() time.Duration { return 60 * time.Millisecond }
		before, used := f.trips.Load(), f.counted("k", time.Minute)
		f.take(t, 0, r)
		d, err := f.Window.Peek(t.Context(), r)
		if err != nil || f.trips.Load() != before+1 || 6000-d.Windows[0].Remaining < used+3 {
			t.Fatalf("the test is to reserve something: %v, %v at %v", d, err, f.now())
		}
		if n := e.Held("k"); n != 0 {
			t.Errorf("what was reserved for 90 ms, 120 ms ago, is of no use: %d held", n)
		}
	})
}

// Over a plain limiter the windows it is asked for are a second longer, and
// nothing is reserved where that would be much.
func TestEscrowWidensWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, true, limiter.EscrowOptions{Block: 20})
		for _, c := range []struct {
			limit apikey.Limit
			asked time.Duration
		}{
			{apikey.PerMinute(6000), 61 * time.Second},
			{apikey.Limit{N: 6000, Window: 59 * time.Second}, 59 * time.Second},
			{apikey.Limit{N: 6000, Window: apikey.MaxLimitWindow}, apikey.MaxLimitWindow},
		} {
			subject := fmt.Sprint(c.limit.Window)
			for range 30 {
				mustTake(t, f.all[0], ask(subject, c.limit))
			}
			if got := f.asked.Load().(apikey.Limit); got.Window != c.asked || got.N != c.limit.N {
				t.Errorf("a limiter that cannot Reserve is asked for %v instead of %v: got %v", c.asked, c.limit.Window, got)
			}
			if widened := c.asked != c.limit.Window; (f.all[0].Held(subject) > 0) != widened {
				t.Errorf("windows of %v: %d held", c.limit.Window, f.all[0].Held(subject))
			}
		}
	})
}

func TestEscrowChangedLimitsDropWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{Block: 20})
		e := f.all[0]
		warm(t, f, 0, ask("k", apikey.PerMinute(600)))
		before := f.trips.Load()
		if d := mustTake(t, e, ask("k", apikey.PerMinute(1))); d.Allowed || f.trips.Load() == before {
			t.Errorf("a change of limits takes effect at once: %v after %d round trips", d, f.trips.Load()-before)
		}
		if n := e.Held("k"); n != 0 {
			t.Errorf("what was reserved under other limits is dropped: %d held", n)
		}
	})
}

// However requests come, what lies idle is within the bound: an eighth of N.
func TestEscrowUnderAdmissionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const instances = 4
		f := newFleet(t, instances, false, limiter.EscrowOptions{Block: 50})
		rng := rand.New(rand.NewPCG(1, 1))
		most := map[string]int64{}
		for range longer(1000, 4000) { // bursts that end at once are the worst for blocks
			n := []int64{60, 600, 6000}[rng.IntN(3)]
			r := ask(fmt.Sprint(n), apikey.PerMinute(n))
			i := rng.IntN(instances)
			for range 1 + rng.IntN(int(n/40)) {
				f.take(t, i, r)
			}
			time.Sleep(time.Duration(rng.Int64N(int64(200 * time.Millisecond))))
			seen, err := f.Window.Peek(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			idle := n - seen.Windows[0].Remaining - f.counted(r.Demands[0].Subject, time.Minute)
			// Hits of the last segment still count, though no longer for f.
			idle -= f.counted(r.Demands[0].Subject, time.Minute+time.Second) - f.counted(r.Demands[0].Subject, time.Minute)
			if most[r.Demands[0].Subject] = max(most[r.Demands[0].Subject], idle); idle > n/8 {
				t.Fatalf("at most %d of %d are charged and not admitted: %d are", n/8, n, idle)
			}
		}
		t.Logf("charged and not admitted, at most: %v", most)
	})
}

func TestEscrowManyGoroutines(t *testing.T) {
	const instances, subjects, takers, each = 4, 5, 4, 400
	f := makeFleet(t, instances, false, limiter.EscrowOptions{Timeout: time.Minute})
	var wg sync.WaitGroup
	var admitted [subjects]atomic.Int64
	limit := apikey.Limit{Name: "hour", N: 500, Window: time.Hour}
	for i := range instances {
		for g := range takers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(g)))
				for range each {
					k := rng.IntN(subjects)
					r := ask(fmt.Sprint("k", k), limit)
					if o := rng.IntN(2 * subjects); o < subjects && o != k {
						r.Demands = append(r.Demands, limiter.Demand{Subject: fmt.Sprint("k", o), Limits: []apikey.Limit{limit}})
					}
					if rng.IntN(20) == 0 {
						f.all[i].Peek(t.Context(), r)
						continue
					}
					d, err := f.all[i].Take(t.Context(), r)
					if err != nil {
						t.Errorf("Take: %v", err)
					}
					if d.Allowed {
						admitted[k].Add(1)
						if len(r.Demands) > 1 {
							var o int
							fmt.Sscanf(r.Demands[1].Subject, "k%d", &o)
							admitted[o].Add(1)
						}
					}
				}
			})
		}
	}
	wg.Wait()
	for k := range admitted {
		subject := fmt.Sprint("k", k)
		held := int64(0)
		for _, e := range f.all {
			held += e.Held(subject)
		}
		d, err := f.Window.Peek(t.Context(), ask(subject, limit))
		if err != nil {
			t.Fatal(err)
		}
		if counted, got := limit.N-d.Windows[0].Remaining, admitted[k].Load(); got > limit.N || counted < got+held {
			t.Errorf("%s: %d admitted and %d held of %d, %d are counted", subject, got, held, limit.N, counted)
		}
	}
}

func TestEscrowTakeAllocatesNothing(t *testing.T) {
	w := newWindow(t, limiter.Options{})
	hour := []apikey.Limit{perHour(1_000_000), apikey.PerDay(100_000_000)}
	for name, o := range map[string]limiter.EscrowOptions{
		"share":  {Block: 10_000, Instances: 1},
		"strict": {Block: 10_000, Instances: 1, Strict: true},
	} {
		var l limiter.Limiter = newEscrow(t, w, o)
		r := ask("k:0123456789abcdef "+name, hour...)
		r.Demands = append(r.Demands, limiter.Demand{Subject: "o:owner " + name, Limits: hour})
		full := ask("full "+name, apikey.PerDay(1))
		mustTake(t, l, full)
		mustTake(t, l, full)
		for l.(*limiter.Escrow).Held(r.Demands[0].Subject) < 4000 {
			mustTake(t, l, r)
		}
		ctx := t.Context()
		for verb, call := range map[string]func(){
			"Take that is held":    func() { l.Take(ctx, r) },
			"Peek that is held":    func() { l.Peek(ctx, r) },
			"Take that is refused": func() { l.Take(ctx, full) },
		} {
			if n := testing.AllocsPerRun(200, call); n != 0 {
				t.Errorf("%s, %s: %v allocations, want none", verb, name, n)
			}
		}
	}
}

// As those of a Window, idle subjects are let go while others are used.
func TestEscrowMemoryFollowsTheLiveSubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEscrow(t, newWindow(t, limiter.Options{}), limiter.EscrowOptions{})
		most, total := 0, longer(10_000, 100_000)
		for i := range total {
			if i%100 == 0 {
				time.Sleep(time.Second)
			}
			mustTake(t, e, ask(fmt.Sprint("k", i), second))
			most = max(most, e.Subjects())
		}
		if most > 4000 { // a thousand in the ten seconds for which they are kept
			t.Errorf("idle subjects are let go while keys come and go: %d held", most)
		}
		time.Sleep(time.Minute)
		for range 2 * total {
			mustTake(t, e, ask("hot", apikey.PerMinute(1_000_000)))
		}
		if n := e.Subjects(); n > 64 {
			t.Errorf("idle subjects are let go while only other keys are used: %d held", n)
		}
	})
}
