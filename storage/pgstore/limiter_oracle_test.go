package pgstore_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// told is what a limiter in memory said to a request, and when.
type told struct {
	at   int64
	peek bool
	r    limiter.Request
	d    limiter.Decision
	of   int                // the request that is settled; 0: r is new
	s    limiter.Settlement // of that
	was  limiter.Decision   // of the limiter in memory, for that
}

// kinds are limits of all kinds, of which a subject has some.
func kinds(subject int) []apikey.Limit {
	n := int64(subject)
	return []apikey.Limit{
		{Name: "second", N: 4 + n, Window: time.Second},
		{Name: "minute", N: 9 + n, Window: time.Minute},
		{Name: "another", N: 7, Window: time.Minute},
		{Name: "large", N: 140, Window: 7 * time.Second},
		{Name: "hour", N: 130, Window: 3601 * time.Second},
		{Name: "tokens", N: 60, Window: time.Minute, Unit: "tokens"},
		{Name: "hourly", N: 40, Period: apikey.Hourly, Zone: "Asia/Kathmandu"},
		{Name: "daily", N: 200, Period: apikey.Daily, Zone: "America/New_York"},
		{Name: "monthly", N: 900, Period: apikey.Monthly, Unit: "tokens"},
		{Name: "credits", N: 700, Period: apikey.Ever},
		{Name: "at-once", N: 3 + n, Concurrent: true},
		{Name: "", N: 11, Window: 7 * time.Second},
	}
}

// history asks a limiter.Window at random, in virtual time.
func history(t *testing.T, seed uint64, steps int) (all []told) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(40 * 365 * 24 * time.Hour) // bubbles start in 2000, where all rows are idle
		w, err := limiter.New(limiter.Options{})
		must(t, err)
		rng := rand.New(rand.NewPCG(seed, 8))
		var open []int                           // requests that can be settled
		subjects := []string{"k", "a", "z", "m"} // in no order of bytes
		for range steps {
			r := limiter.Request{Cost: rng.Int64N(5), Shadow: rng.IntN(40) == 0}
			for _, i := range rng.Perm(len(subjects))[:1+rng.IntN(len(subjects))] {
				d := limiter.Demand{Subject: subjects[i]}
				of := kinds(i)
				for _, j := range rng.Perm(len(of))[:1+rng.IntN(2)] {
					limit := of[j]
					limit.Shadow = rng.IntN(12) == 0
					if rng.IntN(6) == 0 && limit.N > 8 && limit.N < 128 { // stays what it is
						limit.N -= 4
					}
					d.Limits = append(d.Limits, limit)
				}
				r.Demands = append(r.Demands, d)
			}
			if rng.IntN(2) == 0 {
				r.Amounts = []limiter.Amount{{Unit: "tokens", N: rng.Int64N(20)}}
			}
			pause := []time.Duration{time.Millisecond, time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond, time.Second, time.Second, 10 * time.Second, 10 * time.Minute, 8 * time.Hour, 20 * 24 * time.Hour}
			time.Sleep(time.Duration(rng.Int64N(int64(pause[rng.IntN(len(pause))]))).Truncate(time.Microsecond) + time.Microsecond)
			now := told{at: time.Now().UnixNano(), peek: rng.IntN(4) == 0, r: r}
			switch i := rng.IntN(max(1, 2*len(open))); {
			case now.peek:
				now.d, err = w.Peek(t.Context(), r)
			case i < len(open):
				now.of = open[i]
				before := all[now.of]
				now.r, now.was = before.r, before.was
				now.s = limiter.Settlement{Cost: 1 + rng.Int64N(7), Over: rng.IntN(2) == 0}
				if rng.IntN(4) == 0 {
					now.s.Cost, now.s.Over = 0, true
				}
				if len(now.r.Amounts) > 0 && rng.IntN(2) == 0 {
					now.s.Amounts = []limiter.Amount{{Unit: "tokens", N: rng.Int64N(30)}}
				}
				now.d, err = w.Settle(t.Context(), now.r, now.was, now.s)
				now.r.Cost = now.s.Cost
				if len(now.s.Amounts) > 0 {
					now.r.Amounts = now.s.Amounts
				}
				open = slices.Delete(open, i, i+1)
			default:
				now.d, err = w.Take(t.Context(), r)
				now.was = now.d
			}
			must(t, err)
			if len(all) > 0 && !now.peek && now.d.Allowed && !now.s.Over {
				open = append(open[max(0, len(open)-6):], len(all))
			}
			all = append(all, now)
			if !now.d.Allowed && now.d.RetryAfter > 0 && rng.IntN(2) == 0 {
				time.Sleep(now.d.RetryAfter - time.Duration(rng.IntN(2))*time.Microsecond) // to the instant, or just before
			}
		}
	})
	return all
}

// The server decides as limiter.Window does, to the nanosecond.
func TestLimiterAgreesWithTheOneInMemory(t *testing.T) {
	s := newStore(t)
	seeds, steps := uint64(2), 500
	if os.Getenv("LATCHKEY_LONG") != "" {
		seeds = 50
	}
	admitted, refused, settled := 0, 0, 0
	for seed := range seeds {
		l := newLimiter(t, s, patient)
		l.LeaveIdle()
		l.SetSlotLife(100 * 365 * 24 * time.Hour)
		var at int64
		l.SetClock(func() int64 { return at })
		all := history(t, seed, steps)
		decided := make([]limiter.Decision, len(all))
		for i, want := range all {
			at = want.at
			r := onSubjectsOf(want.r, fmt.Sprint(seed, " "))
			var d limiter.Decision
			var err error
			switch {
			case want.peek:
				d, err = l.Peek(t.Context(), r)
			case want.of > 0:
				d, err = l.Settle(t.Context(), onSubjectsOf(all[want.of].r, fmt.Sprint(seed, " ")), decided[want.of], want.s)
				settled++
			default:
				d, err = l.Take(t.Context(), r)
			}
			must(t, err)
			decided[i] = d
			if (d.Slot != 0) != (want.d.Slot != 0) {
				t.Errorf("seed %d, request %d: slot %d, want %d", seed, i, d.Slot, want.d.Slot)
			}
			d.Slot = want.d.Slot
			if d != want.d {
				t.Fatalf("seed %d, request %d of %d, peek %v, settles %d at %+v:\ngot  %v\nwant %v\n%+v\n%+v\n%+v", seed, i, want.at, want.peek, want.of, want.s, d, want.d, want.r, d, want.d)
			}
			if d.Allowed {
				admitted++
			} else {
				refused++
			}
		}
		l.ForgetSlots()
	}
	if t.Logf("%d admitted, %d refused, %d settled", admitted, refused, settled); admitted < 200 || refused < 50 || settled < 100 {
		t.Error("that proves little")
	}
}

// onSubjectsOf returns the request about other subjects.
func onSubjectsOf(r limiter.Request, prefix string) limiter.Request {
	r.Demands = slices.Clone(r.Demands)
	for i := range r.Demands {
		r.Demands[i].Subject = prefix + r.Demands[i].Subject
	}
	return r
}

// A clock that is set back lets nothing go, and dates what comes like the newest
// charge there is.
func TestLimiterWhoseClockIsSetBack(t *testing.T) {
	l := newLimiter(t, newStore(t), patient)
	for _, n := range []int64{3, 1000} {
		at := time.Unix(2_000_000_000, 0).UnixNano()
		l.SetClock(func() int64 { return at })
		r := limiter.Request{Cost: max(n/3, 1), Demands: []limiter.Demand{{Subject: fmt.Sprint("k", n), Limits: []apikey.Limit{{Name: "minute", N: n, Window: time.Minute}}}}}
		take := func(want bool) limiter.Decision {
			t.Helper()
			d, err := l.Take(t.Context(), r)
			if must(t, err); d.Allowed != want {
				t.Fatalf("got %v, want allowed %v", d, want)
			}
			return d
		}
		take(true)
		at -= int64(time.Hour)
		take(true)
		late := take(true)
		at += int64(time.Minute) + 2*int64(time.Second) // they would have left by a clock that never was ahead
		d := take(false)
		if after, err := l.Settle(t.Context(), r, late, limiter.Settlement{}); err != nil || after.Windows[0].Remaining != r.Cost+n%3 {
			t.Errorf("what was charged while the clock was behind is given back: %v, error %v", after, err)
		}
		take(true)
		at += int64(d.RetryAfter) - 1000
		take(false)
		at += 1000
		take(true)
	}
}

// A limit that is not named for a while finds what it counted, and what counts
// no more makes room.
func TestLimiterKeepsWindowsThatComeBack(t *testing.T) {
	s := newStore(t)
	l := newLimiter(t, s, patient)
	at := time.Unix(2_000_000_000, 0).UnixNano()
	l.SetClock(func() int64 { return at })
	remaining := func(want int64, window time.Duration) {
		t.Helper()
		d, err := l.Take(t.Context(), limiter.Request{Demands: []limiter.Demand{{Subject: "k", Limits: []apikey.Limit{{Name: "w", N: 10, Window: window}}}}})
		if must(t, err); d.Windows[0].Remaining != want {
			t.Errorf("a window of %v has %d remaining, want %d", window, d.Windows[0].Remaining, want)
		}
	}
	for i := range int64(12) { // more lengths than a request can have
		remaining(9, time.Duration(i+1)*time.Hour)
	}
	at += int64(2*time.Hour + time.Minute)
	remaining(9, 2*time.Hour) // has left
	remaining(8, 12*time.Hour)
	at += int64(9 * time.Hour)
	remaining(9, 13*time.Hour)
	if n := count(t, s.Pool(), `SELECT cardinality(counts) FROM latchkey.limits`); n != 9+7 {
		t.Errorf("the row has %d numbers, want those of 12 h, with two charges, and of 13 h", n)
	}
}

// What is given back comes out of what was charged then, as far as that holds it.
func TestLimiterGivesBackWhatItsSegmentHolds(t *testing.T) {
	l := newLimiter(t, newStore(t), patient)
	at := 2_000_000_000 * int64(time.Second)
	l.SetClock(func() int64 { return at })
	r := limiter.Request{Demands: []limiter.Demand{{Subject: "back", Limits: []apikey.Limit{apikey.PerMinute(10)}}}}
	admit(t, l, 1, r)
	at += int64(5 * time.Second)
	d, err := l.Take(t.Context(), r)
	must(t, err)
	settle := func(r limiter.Request, d limiter.Decision, s limiter.Settlement, remaining int64) {
		t.Helper()
		after, err := l.Settle(t.Context(), r, d, s)
		if must(t, err); after.Windows[0].Remaining != remaining {
			t.Errorf("got %v, want %d remaining", after, remaining)
		}
	}
	settle(costing(r, 3), d, limiter.Settlement{}, 9)    // no more than is there
	settle(r, d, limiter.Settlement{}, 9)                // nor again
	settle(r, d, limiter.Settlement{Cost: 1 << 62}, 0)   // above N, counted
	settle(r, d, limiter.Settlement{Cost: 1<<63 - 1}, 0) // as far as numbers go
	at += int64(56 * time.Second)
	settle(r, d, limiter.Settlement{}, 0) // one less is still more than N
	at += int64(5 * time.Second)
	settle(r, d, limiter.Settlement{Cost: 7}, 10) // has left
	settle(r, limiter.Decision{}, limiter.Settlement{Cost: 7}, 10)
}

// When N passes 128, what was charged is dated at the latest time that is known:
// the limit is never emptier than the truth.
func TestLimiterWhoseNPassesWhatIsExact(t *testing.T) {
	l := newLimiter(t, newStore(t), patient)
	begun := 2_000_000_000 * int64(time.Second)
	at := begun
	l.SetClock(func() int64 { return at })
	r := func(n int64) limiter.Request {
		return limiter.Request{Demands: []limiter.Demand{{Subject: "k", Limits: []apikey.Limit{{Name: "minute", N: n, Window: time.Minute}, {Name: "day", N: 7, Window: 24 * time.Hour}}}}}
	}
	for _, step := range []struct {
		after     time.Duration // from the start
		n, charge int64
		remaining int64
		reset     time.Duration
	}{
		{300 * time.Millisecond, 128, 1, 127, time.Minute},
		{400 * time.Millisecond, 128, 1, 126, time.Minute - 100*time.Millisecond},
		{800 * time.Millisecond, 129, 1, 126, time.Minute + 200*time.Millisecond},   // one segment, until second 61
		{900 * time.Millisecond, 10, 0, 7, time.Minute},                             // all of it now
		{5 * time.Second, 10, 1, 6, 56*time.Second - time.Nanosecond},               // or at the end of the segment
		{60*time.Second + 999999*time.Microsecond, 10, 0, 6, 999 * time.Nanosecond}, //
		{61 * time.Second, 10, 0, 9, 4 * time.Second},                               // and the last one when a minute has passed
		{64 * time.Second, 1000, 1, 998, 2 * time.Second},                           // a segment later
		{66 * time.Second, 1000, 0, 999, 59 * time.Second},                          //
		{125*time.Second - time.Microsecond, 1, 0, 0, 0},                            //
	} {
		at = begun + int64(step.after)
		call := l.Peek
		if step.charge > 0 {
			call = l.Take
		}
		d, err := call(t.Context(), r(step.n))
		must(t, err)
		if got := d.Windows[0]; step.reset > 0 && got.Reset != step.reset || got.Remaining != step.remaining {
			t.Errorf("after %v, N %d: got %v, want %d remaining, reset %v", step.after, step.n, d, step.remaining, step.reset)
		}
	}
}
