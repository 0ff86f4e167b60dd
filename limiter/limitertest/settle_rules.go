package limitertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

var settleRules = []rule{
	{backIsFree, always, givesBack},
	{"what has left its window is not given back", virtual, givesBackLate},
	{raisesWhole, always, raises},
	{"no settled charges of an interval add up to more than N", virtual, settlesAtRandom},
	{"concurrent settles leave exact counts", always, settlesAtOnce},
	{"what was given back stays free after a restart", needsRestart, settlesAndRestarts},
	{"what was given back admits no more than N after a crash", needsCrash, settlesAndCrashes},
}

const (
	backIsFree  = "what is given back is free again, and no more"
	raisesWhole = "a higher cost is one charge of that cost, or none"
)

// settler returns the limiter as a Settler.
func (e *env) settler() limiter.Settler {
	e.Helper()
	l, ok := e.l.(limiter.Settler)
	if ok {
		_, err := l.Settle(e.Context(), ask("can it settle", e.long(1)), limiter.Decision{}, limiter.Settlement{})
		ok = !errors.Is(err, errors.ErrUnsupported)
	}
	if !ok {
		e.Skip("not checked: it is no limiter.Settler")
	}
	return l
}

func (e *env) settle(r limiter.Request, charged limiter.Decision, cost int64) limiter.Decision {
	e.Helper()
	l := e.settler()
	before := time.Now()
	d, err := l.Settle(e.Context(), r, charged, limiter.Settlement{Cost: cost})
	e.lag = max(e.lag, time.Since(before))
	if err != nil {
		e.Fatalf("Settle(%v, %d): %v", r, cost, err)
	}
	e.wellFormed(r, d)
	return d
}

// statuses fails the rule unless the decision reports these numbers.
func (e *env) statuses(rule string, d limiter.Decision, want ...int64) {
	e.Helper()
	for i, n := range want {
		if d.Windows[i].Remaining != n {
			e.Errorf("%s: Remaining of window %d is %d, want %d: %+v", rule, i, d.Windows[i].Remaining, n, d)
		}
	}
}

func givesBack(e *env) {
	for n := 1; n <= mostDemands; n++ { // to all of its demands, and to no other
		var r limiter.Request
		for i := range n {
			r = with(r, fmt.Sprintf("%d of %d give back", (2*i+1)%5, n), e.long(int64(7-i)))
		}
		want := []int64{4, 3, 2, 1}[:n]
		first := e.take(r)
		e.admit(backIsFree, 1, costing(r, 3))
		e.statuses(backIsFree, e.settle(r, first, 0), want...)
		e.remaining(backIsFree, r, want...)
	}
	longer := apikey.Limit{Name: "longer", N: 9, Window: 25 * e.Unit}
	r := with(ask("gives back", e.long(5), longer), "owner of gives back", e.long(7))
	two, three := costing(r, 2), costing(r, 3)
	first, second := e.take(two), e.take(three)
	e.refuse("a full window refuses", r)
	d := e.settle(two, first, 0)
	if !d.Allowed {
		e.Fatalf("%s: Settle refused: %+v", backIsFree, d)
	}
	e.statuses(backIsFree, d, 2, 6, 4)
	e.remaining(backIsFree, r, 2, 6, 4)
	third := e.admit(backIsFree, 1, two)
	e.refuse(backIsFree, r)

	d = e.settle(three, second, 1) // a part
	e.statuses(backIsFree, d, 2, 6, 4)
	d = e.settle(r, d, 0) // and the rest
	e.statuses(backIsFree, d, 3, 7, 5)
	d = e.settle(two, third, 2) // nothing
	e.statuses(backIsFree, d, 3, 7, 5)
	e.admit(backIsFree, 3, r)
	e.refuse(backIsFree, r)
}

// givesBackLate gives back when the charge counts only in the longer windows,
// and something else in the shorter.
func givesBackLate(e *env) {
	const rule = "what has left its window is not given back"
	r := with(ask("late", e.limit(4), e.long(9)), "owner of late", e.long(8))
	three := costing(r, 3)
	first := e.take(three)
	e.sleep(e.Unit + e.Grain + 1)
	e.admit(rule, 1, three)
	e.statuses(rule, e.settle(three, first, 0), 1, 6, 5)
	e.admit(rule, 1, r)
	e.refuse(rule, r)

	r = ask("much later", e.limit(4))
	first = e.take(costing(r, 4))
	e.sleep(3 * e.Unit)
	e.admit(rule, 4, r)
	e.statuses(rule, e.settle(costing(r, 4), first, 0), 0)
	e.refuse(rule, r)
}

func raises(e *env) {
	ten := e.long(10)
	if e.Virtual {
		ten = e.limit(10) // its RetryAfter is waited for
	}
	longer := apikey.Limit{Name: "longer", N: 30, Window: 25 * e.Unit}
	r := with(ask("raises", ten, longer), "owner of raises", e.long(12))
	first, second := e.take(r), e.take(costing(r, 4))
	d := e.settle(r, first, 6)
	if !d.Allowed {
		e.Fatalf("%s: 6 beside 4 of 10 were refused: %+v", raisesWhole, d)
	}
	e.statuses(raisesWhole, d, 0, 20, 2)
	e.remaining(raisesWhole, r, 0, 20, 2)
	e.refuse("a full window refuses", r)
	e.statuses(backIsFree, e.settle(costing(r, 6), d, 6), 0, 20, 2)

	d = e.settle(costing(r, 4), second, 5)
	if d.Allowed || !d.Windows[0].Violated || d.Windows[1].Violated || d.Windows[2].Violated || d.RetryAfter <= 0 {
		e.Errorf("%s: 5 beside 6 of 10: %+v", raisesWhole, d)
	}
	e.statuses(raisesWhole, d, 4, 24, 6)
	e.remaining("a charge that could not be raised is given back", r, 4, 24, 6)
	if !e.Virtual {
		return
	}
	e.sleep(d.RetryAfter - 1)
	if got := e.peek(costing(r, 5)); got.Allowed || got.RetryAfter != 1 {
		e.Errorf("nothing shorter than RetryAfter is enough: 1ns before %v the answer is %+v", d.RetryAfter, got)
	}
	e.sleep(1)
	third := e.admit(retryHonest, 1, costing(r, 5))
	if d := e.settle(costing(r, 5), third, 11); d.Allowed || d.RetryAfter >= 0 {
		e.Errorf("a cost above N is never admitted: %+v", d)
	}
	e.remaining("a charge that could not be raised is given back", r, 10, 24, 6) // 6 of the owner's 12 still count
}

// settlesAtRandom compares every admission with all current charges.
func settlesAtRandom(e *env) {
	const n, rule = 12, "no settled charges of an interval add up to more than N"
	type charge struct {
		at   time.Duration
		cost int64
		d    limiter.Decision
	}
	rng := rand.New(rand.NewPCG(6, 13))
	owner := apikey.Limit{Name: "owner", N: n + 3, Window: 2 * e.Unit}
	r := with(ask("random", e.limit(n)), "owner of random", owner)
	var all []charge
	counted := func(window time.Duration) (sum int64) {
		for _, c := range all {
			if c.at > e.now()-window {
				sum += c.cost
			}
		}
		return sum
	}
	admitted, refused := 0, 0
	// judge is given the total cost of all others.
	judge := func(what string, allowed bool, cost int64) {
		e.Helper()
		if allowed {
			admitted++
			if a, b := counted(e.Unit)+cost, counted(owner.Window)+cost; a > n || b > owner.N {
				e.Fatalf("%s: %s of %d was admitted: %d of %d, and %d of %d", rule, what, cost, a, n, b, owner.N)
			}
			return
		}
		refused++
		slack := e.unused(n)
		if a, b := counted(e.Unit+e.Grain)+cost, counted(owner.Window+3*e.Grain)+cost; a+slack <= n && b+slack <= owner.N {
			e.Fatalf("what is given back is free again: %s of %d was refused: %d of %d, and %d of %d", what, cost, a, n, b, owner.N)
		}
	}
	for range 3000 {
		e.sleep(time.Duration(rng.Int64N(int64(e.Unit / 8))))
		all = slices.DeleteFunc(all, func(c charge) bool { return c.at < e.now()-4*e.Unit })
		if len(all) == 0 || rng.IntN(3) > 0 {
			cost := 1 + rng.Int64N(4)
			at := e.now()
			d := e.take(costing(r, cost))
			judge("a request", d.Allowed, cost)
			if d.Allowed {
				all = append(all, charge{at, cost, d})
			}
			continue
		}
		i := rng.IntN(len(all))
		c := all[i]
		all = slices.Delete(all, i, i+1)
		cost, at := rng.Int64N(6), e.now()
		d := e.settle(costing(r, c.cost), c.d, cost)
		switch {
		case cost > c.cost:
			judge("a raise", d.Allowed, cost)
		case !d.Allowed:
			e.Fatalf("%s: giving back was refused: %+v", rule, d)
		default:
			at = c.at
		}
		if d.Allowed && cost > 0 {
			all = append(all, charge{at, cost, d})
		}
	}
	if admitted < 300 || refused < 300 {
		e.Errorf("limitertest: %d admitted and %d refused prove little", admitted, refused)
	}
}

func settlesAtOnce(e *env) {
	const takers, each, n = 8, 12, 20
	r := with(ask("at once", e.long(n)), "owner of at once", e.long(n+5))
	l := e.settler()
	var held, most atomic.Int64
	hold := func(cost int64) {
		sum := held.Add(cost)
		for old := most.Load(); sum > old && !most.CompareAndSwap(old, sum); old = most.Load() {
		}
	}
	var wg sync.WaitGroup
	for i := range takers {
		wg.Go(func() {
			for j := range each {
				d, err := l.Take(e.Context(), costing(r, 2))
				if err != nil {
					e.Errorf("Take: %v", err)
				}
				if !d.Allowed {
					continue
				}
				hold(2)
				to := int64([]int{0, 1, 0, 3}[(i+j)%4])
				held.Add(-2) // others may already see some of it as free
				d, err = l.Settle(e.Context(), costing(r, 2), d, limiter.Settlement{Cost: to})
				if err != nil {
					e.Errorf("Settle: %v", err)
				}
				if d.Allowed {
					hold(to)
				}
			}
		})
	}
	wg.Wait()
	if most.Load() > n {
		e.Errorf("settled charges never add up to more than N: they were %d of %d", most.Load(), n)
	}
	e.remaining("concurrent settles leave exact counts", r, n-held.Load(), n+5-held.Load())
}

func settlesAndRestarts(e *env) {
	const rule = "what was given back stays free after a restart"
	longer := apikey.Limit{Name: "longer", N: 30, Window: 25 * e.Unit}
	r := with(ask("settled", e.long(10), longer), "owner of settled", e.long(20))
	first := e.take(costing(r, 4))
	e.admit(rule, 1, costing(r, 3))
	e.settle(costing(r, 4), first, 0)
	e.l = e.Restart(e.TB, e.l)
	e.remaining(rule, r, 7, 27, 17)
}

func settlesAndCrashes(e *env) {
	const rule = "what was given back admits no more than N after a crash"
	r := ask("settled", e.long(20))
	kept := int64(0)
	for i := range int64(6) {
		d := e.take(costing(r, 2))
		if !d.Allowed {
			break
		}
		kept += 2
		switch to := []int64{0, 2, 5}[i%3]; {
		case to == 2:
		case e.settle(costing(r, 2), d, to).Allowed:
			kept += to - 2
		default:
			kept -= 2
		}
	}
	e.l = e.Crash(e.TB, e.l)
	for range 30 {
		if e.take(r).Allowed {
			kept++
		}
	}
	if kept > 20 {
		e.Errorf("%s: %d of 20 were admitted and not given back", rule, kept)
	}
}
