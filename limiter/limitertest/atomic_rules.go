package limitertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

var atomicRules = []rule{
	{uncharged, always, refusedUncharged},
	{allOrNone, always, demandsAtomic},
	{"no subject of up to four in a request admits more than N", virtual, demandsExact},
	{"two subjects are independent", always, independent},
	{"keys share the window of their owner", always, shared},
	{"Peek charges nothing and agrees with Take", always, peeks},
	{"concurrent takers admit exactly N", always, concurrent},
	{"concurrent takers of crossed subjects finish", always, crossed},
	{"zero demands ask for nothing", always, nothing},
}

const uncharged = "a request refused by one limit is charged to none"

func refusedUncharged(e *env) {
	// The refusing window is first, last, and in the middle.
	small, mid, large := e.limit(3), e.long(8), apikey.Limit{Name: "large", N: 9, Window: 25 * e.Unit}
	for i, limits := range [][]apikey.Limit{{small, mid, large}, {mid, large, small}, {mid, small, large}} {
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

const allOrNone = "all demands are charged or none"

// demandsAtomic lets each demand of one to four be the one that refuses. Their
// subjects are not in the order of their names.
func demandsAtomic(e *env) {
	for n := 1; n <= mostDemands; n++ {
		for full := range n {
			var r limiter.Request
			want := make([]int64, n)
			for i := range n {
				limit, left := e.long(5), int64(3)
				if i == full {
					limit, left = e.long(2), 0
				}
				r = with(r, fmt.Sprintf("%d of %d, %d full", (2*i+full)%5, n, full), limit)
				want[i] = left
			}
			e.admit(allOrNone, 2, r)
			d := e.refuse(allOrNone, r)
			for i := range n {
				if d.Windows[i].Violated != (i == full) {
					e.Errorf("statuses are in the order of the demands: demand %d of %d is full: got %+v", full, n, d)
				}
			}
			e.remaining(allOrNone, r, want...)
			for i, q := range r.Demands { // alone, each is decided like any other
				e.remaining(allOrNone, limiter.Request{Demands: []limiter.Demand{q}}, want[i])
			}
		}
	}
}

// demandsExact names some of six subjects in each request, in any order, with
// one limit or two, and looks at all that was admitted to each.
func demandsExact(e *env) {
	const n = 12
	rng := rand.New(rand.NewPCG(16, 4))
	admitted := make([][]Hit, 6)
	names := []string{"d", "b", "a", "e", "f", "c"}
	limits := func(i int) []apikey.Limit {
		return []apikey.Limit{e.limit(n), {Name: "three", N: 2 * n, Window: 3 * e.Unit}}[:1+i%2]
	}
	const requests = 800
	refused := 0
	for range requests {
		e.sleep(time.Duration(rng.Int64N(int64(e.Unit / 8))))
		some := rng.Perm(len(names))[:1+rng.IntN(mostDemands)]
		var r limiter.Request
		for _, i := range some {
			r = with(r, names[i], limits(i)...)
		}
		r.Cost = 1 + rng.Int64N(3)
		if d := e.take(r); !d.Allowed {
			refused++
			room := true
			for _, i := range some {
				for _, l := range limits(i) {
					counted := int64(0)
					for _, h := range admitted[i] {
						if h.At+l.Window+e.late(l) > e.now() {
							counted += h.Cost
						}
					}
					room = room && counted+r.Cost <= l.N
				}
			}
			if room {
				e.Fatalf("a request is refused only if one of its limits is full: %+v got %+v", r, d)
			}
			continue
		}
		for _, i := range some {
			admitted[i] = append(admitted[i], Hit{e.now(), r.Cost})
		}
	}
	for i := range names {
		for _, l := range limits(i) {
			e.check(admitted[i], l)
		}
	}
	if refused < requests/6 || refused > requests*5/6 {
		e.Errorf("limitertest: %d of %d refused prove little", refused, requests)
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
		if got := admitted.Load(); got != n {
			e.Errorf("concurrent takers admit exactly N: %d were admitted, want %d", got, n)
		}
	}
	e.remaining("concurrent takers leave exact counts", ask("busy", e.long(2*n)), n)
}

// crossed takes four subjects in several orders at once, where careless locking
// deadlocks.
func crossed(e *env) {
	const n = 100
	all := with(with(with(ask("left", e.long(8*n)), "right", e.long(8*n)), "above", e.long(8*n)), "below", e.long(8*n))
	var wg sync.WaitGroup
	for i := range 8 {
		r := limiter.Request{Demands: slices.Concat(all.Demands[i%4:], all.Demands[:i%4])}
		if i >= 4 {
			slices.Reverse(r.Demands)
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
	d := e.peek(all)
	for i := range d.N {
		if left := d.Windows[i].Remaining; left != 6*n {
			e.Errorf("every hit is counted on all subjects: Remaining of limit %d is %d, want %d", i, left, 6*n)
		}
	}
}

func nothing(e *env) {
	for _, r := range []limiter.Request{{}, ask("no limits"), with(ask(""), "no limits either"), costing(ask("dear"), 1<<40)} {
		if d := e.take(r); !d.Allowed {
			e.Errorf("zero demands ask for nothing: %+v was refused: %+v", r, d)
		}
	}
}
