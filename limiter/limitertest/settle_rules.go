package limitertest

import (
	"fmt"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const (
	backIsFree = "what is given back is free again, and no more"
	raisedAll  = "a higher cost is charged where the request is, and never refused"
	lateBack   = "what has left its limit is neither given back nor charged"
)

var settleRules = []rule{
	{backIsFree, always, givesBack},
	{lateBack, virtual, settlesLate},
	{raisedAll, always, raises},
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
		e.left(backIsFree, e.settle(r, first, 0), want...)
		e.remaining(backIsFree, r, want...)
	}
	longer := apikey.Limit{Name: "longer", N: 900, Window: 25 * e.Unit}
	r := with(ask("gives back", e.long(5), longer), "owner of gives back", e.long(7))
	two, three := costing(r, 2), costing(r, 3)
	first, second := e.take(two), e.take(three)
	e.refuse("a full window refuses", r)
	e.left(backIsFree, e.settle(two, first, 0), 2, 897, 4)
	e.remaining(backIsFree, r, 2, 897, 4)
	third := e.admit(backIsFree, 1, two)
	e.refuse(backIsFree, r)

	e.left(backIsFree, e.settle(three, second, 1), 2, 897, 4) // a part
	e.left(backIsFree, e.settle(r, second, 0), 3, 898, 5)     // and the rest
	e.left(backIsFree, e.settle(two, third, 2), 3, 898, 5)    // nothing
	e.admit(backIsFree, 3, r)
	e.refuse(backIsFree, r)
	if e.NoQuotas {
		return
	}
	r = ask("quotas give back", e.quota(8, apikey.Monthly), e.quota(9, apikey.Ever))
	first = e.take(costing(r, 6))
	e.left(backIsFree, e.settle(costing(r, 6), first, 2), 6, 7)
	e.admit(backIsFree, 6, r)
	e.refuse(backIsFree, r)
}

// settlesLate settles when the charge counts only in the longer limits, and
// something else in the shorter.
func settlesLate(e *env) {
	r := with(ask("late", e.limit(4), e.long(9)), "owner of late", e.long(8))
	three := costing(r, 3)
	first := e.take(three)
	e.sleep(e.Unit)
	e.admit(lateBack, 1, three)
	e.left(lateBack, e.settle(three, first, 0), 1, 6, 5)
	e.admit(lateBack, 1, r)
	e.refuse(lateBack, r)

	r = ask("much later", e.limit(400), e.long(50))
	first = e.take(costing(r, 4))
	e.sleep(3 * e.Unit)
	e.admit(lateBack, 1, costing(r, 5))
	e.left(lateBack, e.settle(costing(r, 4), first, 0), 395, 45)
	second := e.take(r)
	e.sleep(3 * e.Unit)
	e.left(lateBack, e.settle(r, second, 20), 400, 25)
	if e.NoQuotas {
		return
	}
	l := apikey.Limit{Name: "quota", N: 10, Period: apikey.Hourly}
	r = ask("next hour", l, e.quota(100, apikey.Ever))
	first = e.take(costing(r, 4))
	second = e.take(costing(r, 4))
	e.sleep(e.end(l).Sub(e.clock()))
	e.admit(lateBack, 1, costing(r, 3))
	e.left(lateBack, e.settle(costing(r, 4), first, 0), 7, 93)
	e.left(lateBack, e.settle(costing(r, 4), second, 9), 7, 88)
}

// raises pays more than was taken, in the end more than there is.
func raises(e *env) {
	longer := apikey.Limit{Name: "longer", N: 300, Window: 25 * e.Unit}
	r := with(ask("raises", e.limit(10), longer), "owner of raises", e.long(13))
	asked := e.now()
	first := e.take(r)
	told := e.now()
	e.until(told + e.Unit/2)
	second := e.take(costing(r, 4))
	e.left(raisedAll, e.settle(r, first, 6), 0, 290, 3)
	e.remaining(raisedAll, r, 0, 290, 3)
	again := e.now()
	d := e.refuse("a full window refuses", r)
	if from, to := asked+e.Unit-e.now()-e.jitter(), told+e.Unit-again+e.jitter(); d.RetryAfter < from || d.RetryAfter > to {
		e.Errorf("%s: the 6 leave when the 1 would have: RetryAfter is %v, want %v to %v", raisedAll, d.RetryAfter, from, to)
	}
	e.left(raisedAll, e.settle(costing(r, 4), second, 9), 0, 285, 0) // 15 of 10, and of 13
	e.remaining(raisedAll, r, 0, 285, 0)
	if d := e.refuse("what is above N delays what comes next", r); d.RetryAfter < 15*e.Unit {
		e.Errorf("%s: 15 of 13: %v", raisedAll, d)
	}
	key := limiter.Request{Demands: r.Demands[:1]}
	e.until(told + e.Unit + e.jitter())
	e.remaining(raisedAll, key, 1, 285)
	e.admit(raisedAll, 1, key)
	e.refuse(raisedAll, key)
	e.left(backIsFree, e.settle(costing(r, 9), second, 2), 7, 291, 5)

	// However much it is.
	many := []apikey.Limit{e.limit(10), e.long(1_000_000)}
	if !e.NoQuotas {
		many = append(many, e.quota(1_000_000_000_000_000, apikey.Monthly))
	}
	r = ask("raises a lot", many...)
	first = e.take(r)
	for i := range 4 {
		cost := int64(1) << (61 - 20*i)
		e.left(raisedAll, e.settle(r, first, cost), max(10-cost, 0), max(1_000_000-cost, 0))
		r = costing(r, cost)
	}
	e.left(backIsFree, e.settle(r, first, 1), 9, 999_999)
	second = e.take(costing(r, 1))
	for _, d := range []limiter.Decision{first, second} { // more than a number can hold
		e.left(raisedAll, e.settle(costing(r, 1), d, 1<<62), make([]int64, limits(r))...)
	}
	e.refuse(raisedAll, r)
}
