package limitertest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const (
	settledFits = "no settled charges of an interval add up to more than N"
	badSettle   = "invalid settlements are errors and change nothing"
)

// resettleRules settle many requests.
var resettleRules = []rule{
	{settledFits, virtual, settlesAtRandom},
	{"concurrent settles leave exact counts", always, settlesAtOnce},
	{badSettle, always, settlesWrongly},
	{"what was given back stays free after a restart", needsRestart, settlesAndRestarts},
	{"what was given back admits no more than N after a crash", needsCrash, settlesAndCrashes},
}

// settlesAtRandom settles downwards, and adds up what all requests of an interval
// cost after each step.
func settlesAtRandom(e *env) {
	const n = 12
	type request struct {
		at   time.Duration
		cost int64
		d    limiter.Decision
	}
	rng := rand.New(rand.NewPCG(6, 13))
	owner := apikey.Limit{Name: "owner", N: n + 3, Window: 2 * e.Unit}
	r := with(ask("random", e.limit(n)), "owner of random", owner)
	var all []*request
	refused := 0
	for range 3000 {
		e.sleep(time.Duration(rng.Int64N(int64(e.Unit / 8))))
		all = slices.DeleteFunc(all, func(x *request) bool { return x.cost == 0 || x.at < e.now()-4*e.Unit })
		if i := len(all); i > 0 && rng.IntN(3) == 0 {
			x := all[rng.IntN(i)]
			cost := rng.Int64N(x.cost + 1)
			e.settle(costing(r, x.cost), x.d, cost)
			x.cost = cost
		} else {
			cost, at := 1+rng.Int64N(4), e.now()
			if d := e.take(costing(r, cost)); d.Allowed {
				all = append(all, &request{at, cost, d})
			} else {
				refused++
			}
		}
		var hits []Hit
		for _, x := range all {
			hits = append(hits, Hit{x.at, x.cost})
		}
		for _, l := range []apikey.Limit{e.limit(n), owner} {
			if err := Check(hits, l); err != nil {
				e.Fatalf("%s: %v", settledFits, err)
			}
		}
	}
	if refused < 300 {
		e.Errorf("limitertest: %d refused prove little", refused)
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
				d, err := l.Take(e.Context(), costing(r, 3))
				if err != nil {
					e.Errorf("Take: %v", err)
				}
				if !d.Allowed {
					continue
				}
				hold(3)
				to := int64([]int{0, 1, 0, 3}[(i+j)%4])
				held.Add(to - 3) // others may already see some of it as free
				if _, err = l.Settle(e.Context(), costing(r, 3), d, limiter.Settlement{Cost: to}); err != nil {
					e.Errorf("Settle: %v", err)
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

func settlesWrongly(e *env) {
	r := ask("wrong", e.long(10))
	if !e.NoUnits {
		r = of(with(r, "tokens", counting(e.long(50), "tokens")), "tokens", 7)
	}
	d, l := e.take(costing(r, 3)), e.settler()
	bad := map[string]limiter.Settlement{
		"negative cost": {Cost: -1},
		"unknown unit":  {Cost: 1, Amounts: []limiter.Amount{{Unit: "images", N: 1}}},
	}
	if !e.NoUnits {
		bad["negative amount"] = limiter.Settlement{Cost: 1, Amounts: []limiter.Amount{{Unit: "tokens", N: -1}}}
		bad["unit twice"] = limiter.Settlement{Cost: 1, Amounts: []limiter.Amount{{Unit: "tokens", N: 1}, {Unit: "tokens", N: 1}}}
		bad["unknown beside known"] = limiter.Settlement{Cost: 1, Amounts: []limiter.Amount{{Unit: "tokens", N: 1}, {Unit: "images", N: 1}}}
	}
	for name, s := range bad {
		if after, err := l.Settle(e.Context(), costing(r, 3), d, s); !errors.Is(err, limiter.ErrInvalid) || after != (limiter.Decision{}) {
			e.Errorf("%s: %s: got %+v, %v", badSettle, name, after, err)
		}
	}
	none := costing(r, 3)
	none.Demands = []limiter.Demand{{Subject: "", Limits: r.Demands[0].Limits}}
	if after, err := l.Settle(e.Context(), none, d, limiter.Settlement{Cost: 1}); !errors.Is(err, limiter.ErrInvalid) {
		e.Errorf("%s: no subject: got %+v, %v", badSettle, after, err)
	}
	want := []int64{7}
	if !e.NoUnits {
		want = append(want, 43)
	}
	e.remaining(badSettle, r, want...)
}

func settlesAndRestarts(e *env) {
	const rule = "what was given back stays free after a restart"
	longer := apikey.Limit{Name: "longer", N: 300, Window: 25 * e.Unit}
	r := with(ask("settled", e.long(10), longer), "owner of settled", e.long(20))
	first := e.take(costing(r, 4))
	e.admit(rule, 1, costing(r, 3))
	e.settle(costing(r, 4), first, 0)
	e.l = e.Restart(e.TB, e.l)
	e.remaining(rule, r, 7, 297, 17)
}

func settlesAndCrashes(e *env) {
	const rule = "what was given back admits no more than N after a crash"
	limits := []apikey.Limit{e.long(20)}
	if !e.NoQuotas {
		limits = append(limits, e.quota(20, apikey.Ever))
	}
	r := ask("settled", limits...)
	kept := int64(0)
	for i := range int64(6) {
		d := e.take(costing(r, 2))
		if !d.Allowed {
			break
		}
		to := []int64{0, 2, 5}[i%3]
		e.settle(costing(r, 2), d, to)
		kept += to
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
