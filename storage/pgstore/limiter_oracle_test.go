package pgstore_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/pgstore"
)

// told is what a limiter in memory said to a request, and when.
type told struct {
	at   int64
	peek bool
	r    limiter.Request
	d    limiter.Decision
	life time.Duration
	// settled is what had admitted r, which is settled at cost; nil: r is new.
	settled *limiter.Decision
	cost    int64
}

// history asks a limiter.Window at random, in virtual time.
func history(t *testing.T, seed uint64, steps int) (all []told) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(40 * 365 * 24 * time.Hour) // bubbles start in 2000, where all rows are idle
		w, err := limiter.New(limiter.Options{})
		must(t, err)
		rng := rand.New(rand.NewPCG(seed, 8))
		var charged []told // that can be settled
		windows := []time.Duration{time.Second, 7 * time.Second, time.Minute, time.Hour, 3601 * time.Second, 24 * time.Hour}
		demand := func(subject string, first int) limiter.Demand { // the same windows for a subject, in any order
			d := limiter.Demand{Subject: subject}
			for _, i := range rng.Perm([]int{3, 2, 2, 1}[first]) {
				d.Limits = append(d.Limits, apikey.Limit{Name: "w", N: 4 + rng.Int64N(12), Window: windows[(2*first+i)%len(windows)]})
			}
			return d
		}
		for range steps {
			r := limiter.Request{Cost: rng.Int64N(5)}
			subjects := []string{"k", "a", "z", "m"} // in no order of bytes
			for _, i := range rng.Perm(len(subjects))[:1+rng.IntN(len(subjects))] {
				r.Demands = append(r.Demands, demand(subjects[i], i))
			}
			time.Sleep(time.Duration(rng.Int64N(int64([]time.Duration{time.Millisecond, 20 * time.Millisecond, time.Second, 10 * time.Second, 10 * time.Minute, 8 * time.Hour}[rng.IntN(6)]))))
			now := told{at: time.Now().UnixNano(), peek: rng.IntN(4) == 0, r: r}
			switch i := rng.IntN(max(1, 2*len(charged))); {
			case now.peek:
				now.d, err = w.Peek(t.Context(), r)
			case i < len(charged):
				was := charged[i].d
				now.r, now.settled, now.cost = charged[i].r, &was, rng.Int64N(7)
				now.d, err = w.Settle(t.Context(), now.r, *now.settled, limiter.Settlement{Cost: now.cost})
			default:
				now.d, now.life, err = w.Reserve(t.Context(), r)
			}
			must(t, err)
			if !now.peek {
				charged = slices.DeleteFunc(charged, func(c told) bool { return now.settled != nil && c.d.At == now.settled.At })
				if now.d.At != 0 {
					next := now
					if now.settled != nil {
						next.r.Cost = now.cost
					}
					charged = append(charged[max(0, len(charged)-6):], next)
				}
			}
			all = append(all, now)
			if !now.d.Allowed && now.d.RetryAfter > 0 && rng.IntN(2) == 0 {
				time.Sleep(now.d.RetryAfter - time.Duration(rng.IntN(2))) // to the instant, or just before
			}
		}
	})
	return all
}

// The server decides as limiter.Window does, to the nanosecond.
func TestLimiterAgreesWithTheOneInMemory(t *testing.T) {
	fresh, _ := stores(t)
	admitted, refused, settled := 0, 0, 0
	for seed := range uint64(4) {
		l := newLimiter(t, fresh(t), patient)
		var at int64
		l.SetClock(func() int64 { return at })
		for i, want := range history(t, seed, 500) {
			at = want.at
			d, life, err := ask(t, l, want)
			must(t, err)
			if d != want.d || life != want.life {
				t.Fatalf("seed %d, request %d, peek %v:\ngot  %v, life %v\nwant %v, life %v\n%+v", seed, i, want.peek, d, life, want.d, want.life, want.r)
			}
			if want.settled != nil {
				settled++
			}
			if d.Allowed {
				admitted++
			} else {
				refused++
			}
		}
	}
	if t.Logf("%d admitted, %d refused, %d settled", admitted, refused, settled); admitted < 200 || refused < 200 || settled < 200 {
		t.Error("that proves little")
	}
}

func ask(t testing.TB, l *pgstore.Limiter, q told) (d limiter.Decision, life time.Duration, err error) {
	if q.peek {
		d, err = l.Peek(t.Context(), q.r)
		return d, 0, err
	}
	if q.settled != nil {
		d, err = l.Settle(t.Context(), q.r, *q.settled, limiter.Settlement{Cost: q.cost})
		return d, 0, err
	}
	return l.Reserve(t.Context(), q.r)
}

// A clock that is set back lets nothing go, and dates what comes at the newest
// segment there is.
func TestLimiterWhoseClockIsSetBack(t *testing.T) {
	l := newLimiter(t, newStore(t), patient)
	at := time.Unix(2_000_000_000, 0).UnixNano()
	l.SetClock(func() int64 { return at })
	r := limiter.Request{Demands: []limiter.Demand{{Subject: "k", Limits: []apikey.Limit{{Name: "minute", N: 3, Window: time.Minute}}}}}
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
	take(true)
	at += int64(time.Minute) + 2*int64(time.Second) // they would have left by a clock that never was ahead
	d := take(false)
	at += int64(d.RetryAfter) - 1
	take(false)
	at++
	take(true)
}

// A window that no limit names for a while finds what it counted.
func TestLimiterKeepsWindowsThatComeBack(t *testing.T) {
	l := newLimiter(t, newStore(t), patient)
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
}

// What is given back comes out of the segment of its charge, as far as that holds
// it: not while the clock is set back, when a charge is dated later than it is
// told, and not out of a segment whose number ends in the same 33 bits.
func TestLimiterGivesBackWhatItsSegmentHolds(t *testing.T) {
	l := newLimiter(t, newStore(t), patient)
	const segment = int64(time.Second)
	at := 2_000_000_000 * segment
	l.SetClock(func() int64 { return at })
	ask := func(subject string, cost int64) limiter.Request {
		return limiter.Request{Demands: []limiter.Demand{{Subject: subject, Limits: []apikey.Limit{apikey.PerMinute(10)}}}, Cost: cost}
	}
	settle := func(r limiter.Request, d limiter.Decision, remaining int64) {
		t.Helper()
		after, err := l.Settle(t.Context(), r, d, limiter.Settlement{})
		if must(t, err); after.Windows[0].Remaining != remaining {
			t.Errorf("got %v, want %d remaining", after, remaining)
		}
	}
	admit(t, l, 1, ask("back", 1))
	at += 5 * segment
	admit(t, l, 1, ask("back", 1))
	at -= 5 * segment
	d, err := l.Take(t.Context(), ask("back", 3)) // dated five seconds later
	must(t, err)
	settle(ask("back", 3), d, 6)

	at = 1 << 33 * segment
	d, err = l.Take(t.Context(), ask("alias", 3))
	must(t, err)
	d.At -= 1 << 33 * segment
	settle(ask("alias", 3), d, 7)
}
