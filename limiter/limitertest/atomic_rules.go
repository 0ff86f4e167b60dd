package limitertest

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/wontopos/latchkey/limiter"
)

var atomicRules = []rule{
	{"a request refused by one window is charged to none", always, refusedUncharged},
	{"Also is charged with the key or not at all", always, alsoAtomic},
	{"two subjects are independent", always, independent},
	{"keys share the window of their owner", always, shared},
	{"Peek charges nothing and agrees with Take", always, peeks},
	{"concurrent takers admit exactly N", always, concurrent},
	{"concurrent takers of crossed subjects finish", always, crossed},
	{"zero demands ask for nothing", always, nothing},
}

const uncharged = "a request refused by one window is charged to none"

func refusedUncharged(e *env) {
	// The refusing window is first, last, and in the middle.
	small, mid, large := e.limit(3), e.long(8), limiter.Limit{Name: "large", N: 9, Window: 25 * e.Unit}
	for i, limits := range [][]limiter.Limit{{small, mid, large}, {mid, large, small}, {mid, small, large}} {
		r := ask("uncharged "+strconv.Itoa(i), limits...)
		e.admit("an unused window admits N", 3, r)
		for range 5 {
			e.refuse("a full window refuses", r)
		}
		want := []int64{0, 5, 6}
		for j, l := range limits {
			switch l.Name {
			case "unit":
				want[j] = 0
			case "long":
				want[j] = 5
			default:
				want[j] = 6
			}
		}
		e.remaining(uncharged, r, want...)
		e.inTime()
	}
}

func alsoAtomic(e *env) {
	const rule = "Also is charged with the key or not at all"
	r := with(ask("key", e.long(5)), "owner", e.long(3))
	e.admit(rule, 3, r)
	if d := e.refuse(rule, r); d.Windows[0].Violated || !d.Windows[1].Violated {
		e.Errorf("statuses of Also follow those of the key: got %+v", d)
	}
	e.remaining(rule, r, 2, 0)

	r = with(ask("key 2", e.long(2)), "owner 2", e.long(5))
	e.admit(rule, 2, r)
	e.refuse(rule, r)
	e.remaining(rule, r, 0, 3)

	if d := e.take(limiter.Request{Also: limiter.Demand{Subject: "owner 2", Limits: []limiter.Limit{e.long(5)}}}); !d.Allowed || d.Windows[0].Remaining != 2 {
		e.Errorf("a request of an Also alone is decided like any other: got %+v", d)
	}
}

func independent(e *env) {
	a, b := ask("a", e.long(3)), ask("b", e.long(3))
	e.admit("an unused window admits N", 3, a)
	e.refuse("a full window refuses", a)
	e.admit("two subjects are independent", 3, b)
}

func shared(e *env) {
	const rule = "keys share the window of their owner"
	for i := range 3 {
		e.admit(rule, 2, with(ask("key "+strconv.Itoa(i), e.long(4)), "owner", e.long(6)))
	}
	for i := range 3 {
		e.refuse(rule, with(ask("key "+strconv.Itoa(i), e.long(4)), "owner", e.long(6)))
	}
}

func peeks(e *env) {
	const rule = "Peek charges nothing and agrees with Take"
	r := with(ask("peek", e.long(4), e.limit(100)), "owner of peek", e.long(50))
	e.remaining(rule, r, 4, 100, 50)
	for range 6 {
		var seen limiter.Decision
		for range 3 {
			seen = e.peek(r)
		}
		took := e.take(r)
		if seen.Allowed != took.Allowed || seen.N != took.N {
			e.Fatalf("%s: Peek %+v, Take %+v", rule, seen, took)
		}
		for i := range seen.N {
			left := seen.Windows[i].Remaining
			if took.Allowed {
				left--
			}
			if left != took.Windows[i].Remaining {
				e.Errorf("%s: window %d had %d left before and %d after: %+v", rule, i, seen.Windows[i].Remaining, took.Windows[i].Remaining, took)
			}
		}
		if e.Virtual && !took.Allowed && seen != took {
			e.Errorf("%s: refusals at the same instant differ: Peek %+v, Take %+v", rule, seen, took)
		}
	}
	e.remaining(rule, r, 0, 96, 46)
}

// unused is the most cost that a window with limit n may lose to reservations.
func (e *env) unused(n int64) int64 {
	if e.Unused == nil {
		return 0
	}
	return e.Unused(n)
}

func concurrent(e *env) {
	const takers, n = 16, 100
	r := with(ask("busy", e.limit(n), e.long(2*n)), "busy owner", e.long(n+1))
	var admitted atomic.Int64
	var wg sync.WaitGroup
	start := e.now()
	for range takers {
		wg.Go(func() {
			for range 2 * n / takers {
				d, err := e.l.Take(e.Context(), r)
				if err != nil {
					e.Errorf("Take: %v", err)
				}
				if d.Allowed {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if e.lag = e.now() - start; e.lag == 0 || e.lag < e.Unit/2 {
		if got := admitted.Load(); got > n || got < n-e.unused(n) {
			e.Errorf("concurrent takers admit exactly N: %d were admitted, want %d", got, n)
		}
	}
	e.remaining("concurrent takers leave exact counts", ask("busy", e.long(2*n)), n)
}

// crossed takes two subjects in both orders at once, where careless locking
// deadlocks.
func crossed(e *env) {
	const n = 100
	var wg sync.WaitGroup
	for i := range 8 {
		r := with(ask("left", e.long(8*n)), "right", e.long(8*n))
		if i%2 == 1 {
			r.Demand, r.Also = r.Also, r.Demand
		}
		wg.Go(func() {
			for range n / 4 {
				if d, err := e.l.Take(e.Context(), r); err != nil || !d.Allowed {
					e.Errorf("crossed subjects: %+v, %v", d, err)
				}
			}
		})
	}
	wg.Wait()
	e.remaining("every hit is counted on both subjects", with(ask("left", e.long(8*n)), "right", e.long(8*n)), 6*n, 6*n)
}

func nothing(e *env) {
	for _, r := range []limiter.Request{{}, ask("no limits"), with(ask(""), "no limits either"), costing(ask("dear"), 1<<40)} {
		if d := e.take(r); !d.Allowed {
			e.Errorf("zero demands ask for nothing: %+v was refused: %+v", r, d)
		}
	}
}
