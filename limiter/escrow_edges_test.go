package limiter_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// What is held may end while the rest of a request is asked for. Then all of the
// request is charged at one time.
func TestEscrowLateAnswerIsNotAddedToWhatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{Block: 20})
		r := ask("k", apikey.PerMinute(600))
		held := warm(t, f, 0, r)
		used := f.counted("k", time.Minute)
		time.Sleep(990 * time.Millisecond)
		if held == 0 || f.all[0].Held("k") != held {
			t.Fatalf("the test is to hold something: %d", f.all[0].Held("k"))
		}
		f.delay = func() time.Duration { return 8 * time.Millisecond }
		before := f.trips.Load()
		r.Cost = held + 5
		d, err := f.take(t, 0, r)
		if err != nil || !d.Allowed || f.trips.Load()-before != 2 {
			t.Errorf("the request is asked for again, as a whole: got %v, %v after %d round trips", d, err, f.trips.Load()-before)
		}
		// The rest came too soon, and is lost like what was held.
		if want := 600 - used - held - 5 - r.Cost; d.Windows[0].Remaining != want {
			t.Errorf("%d remain, want %d", d.Windows[0].Remaining, want)
		}
	})
}

// Two subjects that refuse a request may do so for different times.
func TestEscrowRefusalOfBothIsOfThePair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{})
		e := f.all[0]
		key := func(name string, cost int64, also ...apikey.Limit) limiter.Request {
			r := ask(name, minute)
			r.Cost, r.Demands = cost, append(r.Demands, limiter.Demand{Subject: "owner", Limits: also})
			return r
		}
		mustTake(t, e, key("b", 1, perHour(60)))
		mustTake(t, e, key("a", 40, perHour(60)))
		for i := range 2 {
			before := f.trips.Load()
			d := mustTake(t, e, key("a", 40, perHour(60)))
			if d.RetryAfter < time.Hour || !d.Windows[0].Violated || !d.Windows[1].Violated {
				t.Errorf("both refuse, one of them for an hour: %v", d)
			}
			if n := f.trips.Load() - before; n != int64(1-i) {
				t.Errorf("a refusal of both is remembered: refusal %d took %d round trips", i, n)
			}
		}
		if d := mustTake(t, e, key("b", 40, perHour(60))); d.RetryAfter < time.Hour || d.Windows[0].Violated || !d.Windows[1].Violated {
			t.Errorf("another key is refused by the owner: %v", d)
		}
		d := mustTake(t, e, key("a", 40))
		if d.Allowed || d.RetryAfter > 61*time.Second {
			t.Errorf("the key without its owner is not refused for an hour: %v", d)
		}
		time.Sleep(d.RetryAfter)
		if d := mustTake(t, e, key("a", 40)); !d.Allowed {
			t.Errorf("a client that waits RetryAfter is admitted: %v", d)
		}
	})
}

// Of three subjects two refuse, for different times. Neither of them alone, nor
// any two, are refused for as long as the three.
func TestEscrowRefusalOfSeveralOfThreeIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFleet(t, 1, false, limiter.EscrowOptions{}).all[0]
		a, b, c := ask("a", minute), ask("b", perHour(1000)), ask("c", perHour(60))
		three := limiter.Request{Demands: slices.Concat(a.Demands, b.Demands, c.Demands), Cost: 40}
		mustTake(t, e, three)
		if d := mustTake(t, e, three); d.Allowed || !d.Windows[0].Violated || d.Windows[1].Violated || !d.Windows[2].Violated || d.RetryAfter < time.Hour {
			t.Fatalf("two of three refuse, one of them for an hour: %v", d)
		}
		two := limiter.Request{Demands: three.Demands[:2], Cost: 40}
		if d := mustTake(t, e, two); d.Allowed || d.RetryAfter > 2*time.Minute {
			t.Errorf("one of the others refuses, for a minute: %v", d)
		}
	})
}

// Some of a subject is held, and nothing of those around it, which are asked for.
func TestEscrowReadsAnAnswerAboutSomeSubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{})
		e, held := f.all[0], ask("held", apikey.PerMinute(6000))
		if warm(t, f, 0, held) < 1 {
			t.Fatal("nothing is held")
		}
		r := limiter.Request{Demands: slices.Concat(ask("before", perHour(5)).Demands, held.Demands, ask("behind", perHour(7)).Demands)}
		if d := mustTake(t, e, r); d.Windows[0].Remaining != 4 || d.Windows[1].Remaining < 5000 || d.Windows[2].Remaining != 6 {
			t.Errorf("got %v, want 4, thousands and 6 remaining", d)
		}
	})
}

// Two subjects of which one holds more: the shared limiter is asked for what the
// other lacks of both, and may refuse what would do alone.
func TestEscrowRefusalOfUnevenIsOfThePair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{Block: 20})
		e, r := f.all[0], ask("k", apikey.PerMinute(600))
		held := warm(t, f, 0, r)
		for mustTake(t, f.Window, r).Windows[0].Remaining > 1 {
		}
		r.Cost = held + 1
		owned := r
		owned.Demands = append(owned.Demands, limiter.Demand{Subject: "owner", Limits: []apikey.Limit{minute}})
		if d := mustTake(t, e, owned); held < 2 || d.Allowed || !d.Windows[0].Violated || d.Windows[1].Violated {
			t.Fatalf("%d are held of the key, nothing of the owner, and 1 remains: %v", held, d)
		}
		if d := mustTake(t, e, r); !d.Allowed {
			t.Errorf("the key alone has what the request costs: %v", d)
		}
	})
}

// RetryAfter of a request that was to be admitted out of what is held in part.
func TestEscrowRetryAfterWithoutWhatEndsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{Block: 20})
		r := ask("k", apikey.PerMinute(600))
		mustTake(t, f.Window, r)
		time.Sleep(30 * time.Second)
		held := warm(t, f, 0, r)
		for mustTake(t, f.Window, r).Allowed {
		}
		r.Cost = held + 1
		d := mustTake(t, f.all[0], r)
		if held == 0 || d.Allowed || d.RetryAfter < time.Minute || d.Windows[0].Remaining != held {
			t.Fatalf("one leaves in half a minute, and %d are held for a second: %v", held, d)
		}
		time.Sleep(d.RetryAfter - 1)
		if d := mustTake(t, f.all[0], r); d.Allowed || d.RetryAfter != 1 {
			t.Errorf("nothing shorter than RetryAfter is enough: %v", d)
		}
		time.Sleep(time.Nanosecond)
		if d := mustTake(t, f.all[0], r); !d.Allowed {
			t.Errorf("a client that waits RetryAfter is admitted: %v", d)
		}
	})
}

func TestEscrowRarelyUsedSubjectsHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{Block: 100})
		for range 50 {
			time.Sleep(30 * time.Second)
			mustTake(t, f.all[0], ask("one", perHour(6000)))
			mustTake(t, f.all[0], ask("two", apikey.PerMinute(6000)))
			mustTake(t, f.all[0], ask("two", apikey.PerMinute(6000)))
			if one, two := f.all[0].Held("one"), f.all[0].Held("two"); one > 1 || two > 1 {
				t.Fatalf("blocks start small: %d and %d are held after one and two uses", one, two)
			}
		}
	})
}

func TestEscrowPeekTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false, limiter.EscrowOptions{Block: 20})
		e, r := f.all[0], ask("k", apikey.PerMinute(600))
		held := warm(t, f, 0, r)
		left := 600 - f.counted("k", time.Minute)
		before := f.trips.Load()
		for range 2 * held {
			if d, err := e.Peek(t.Context(), r); err != nil || !d.Allowed || d.Windows[0].Remaining != left {
				t.Fatalf("Peek charges nothing: %v, %v, want %d remaining", d, err, left)
			}
		}
		if e.Held("k") != held || held == 0 || f.trips.Load() != before {
			t.Errorf("what is held answers Peek: %d of %d held after %d round trips", e.Held("k"), held, f.trips.Load()-before)
		}
		r.Cost = held + 1
		if d, err := e.Peek(t.Context(), r); err != nil || !d.Allowed || d.Windows[0].Remaining != left || e.Held("k") != held {
			t.Errorf("Peek beyond what is held: %v, %v, want %d remaining and %d held", d, err, left, held)
		}
		other := ask("k", apikey.PerMinute(1000))
		if d, err := e.Peek(t.Context(), other); err != nil || !d.Allowed || e.Held("k") != held {
			t.Errorf("Peek with other limits leaves no trace: %v, %v, %d held", d, err, e.Held("k"))
		}
	})
}

// Two requests that name a pair of subjects in the two orders may be out at
// once, and their answers come back in the other order than they were charged
// in. What is told then must not be more than is left.
func TestEscrowAnswersThatOvertakeEachOther(t *testing.T) {
	for _, peek := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const n = 6000
			f := newFleet(t, 1, false, limiter.EscrowOptions{Block: 20})
			pair := func(one, other string) limiter.Request {
				r := ask(one, perHour(n))
				r.Demands = append(r.Demands, limiter.Demand{Subject: other, Limits: []apikey.Limit{perHour(n)}})
				return r
			}
			take := func(r limiter.Request) limiter.Decision {
				d, err := f.take(t, 0, r)
				if err != nil || !d.Allowed {
					t.Errorf("got %v, %v", d, err)
				}
				return d
			}
			for warm(t, f, 0, pair("left", "right")); f.all[0].Held("left") > 0; {
				take(pair("left", "right"))
			}
			ways := []time.Duration{1, 2, 10, 1} // the first goes out first, and comes back last
			var mu sync.Mutex
			f.delay = func() time.Duration {
				mu.Lock()
				defer mu.Unlock()
				next := ways[0] * time.Millisecond
				ways = ways[1:]
				return next
			}
			var late limiter.Decision
			var all sync.WaitGroup
			all.Go(func() {
				var err error
				if peek {
					late, err = f.all[0].Peek(t.Context(), pair("left", "right"))
				} else {
					late, err = f.take(t, 0, pair("left", "right"))
				}
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			take(pair("right", "left"))
			all.Wait()
			trips := f.trips.Load()
			now, err := f.all[0].Peek(t.Context(), pair("left", "right"))
			if err != nil || f.trips.Load() != trips {
				t.Fatalf("the test is to hold something: %v after %d round trips", err, f.trips.Load()-trips)
			}
			want := n - f.counted("left", time.Hour)
			for what, d := range map[string]limiter.Decision{"the answer that came late": late, "what is told afterwards": now} {
				for i := range 2 {
					if got := d.Windows[i].Remaining; got != want {
						t.Errorf("a peek %v: %s: %d remain of window %d, want %d", peek, what, got, i, want)
					}
				}
			}
		})
	}
}
