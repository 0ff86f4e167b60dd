package limitertest

import (
	"slices"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const (
	amounts   = "amounts are charged to the limits that have their units, and cost to those without"
	unnamed   = "a limit whose unit is not named has no say, and is reported"
	zeroAsks  = "an amount of 0 asks whether anything is left, and charges nothing"
	backUnits = "amounts are settled each by itself, and one that is not named stays"
)

var unitRules = []rule{
	{amounts, needsUnits, chargesAmounts},
	{unnamed, needsUnits, leavesUnnamed},
	{zeroAsks, needsUnits, asksForNothing},
	{backUnits, needsUnits, settlesAmounts},
}

// counting gives a limit a unit, and its name.
func counting(l apikey.Limit, unit string) apikey.Limit {
	l.Name, l.Unit = unit, unit
	return l
}

// of adds an amount to the request.
func of(r limiter.Request, unit string, n int64) limiter.Request {
	r.Amounts = append(slices.Clone(r.Amounts), limiter.Amount{Unit: unit, N: n})
	return r
}

// metered names limits on requests, tokens and images, of a key and its owner.
func (e *env) metered(name string) limiter.Request {
	tokens, images := counting(e.long(100), "tokens"), counting(e.long(10), "images")
	return with(ask(name, e.long(50), tokens, images), "owner of "+name, counting(e.long(1_000_000), "tokens"))
}

func chargesAmounts(e *env) {
	r := e.metered("amounts")
	e.admit(amounts, 1, costing(of(of(r, "images", 2), "tokens", 70), 3))
	e.remaining(amounts, r, 47, 30, 8, 999_930)
	d := e.refuse(amounts, of(of(r, "tokens", 31), "images", 1))
	if d.Windows[0].Violated || !d.Windows[1].Violated || d.Windows[2].Violated || d.Windows[3].Violated {
		e.Errorf("%s: 31 of 30 tokens left: %v", amounts, d)
	}
	e.remaining(amounts, r, 47, 30, 8, 999_930)
	e.admit(amounts, 1, of(of(r, "tokens", 30), "images", 8))
	e.remaining(amounts, r, 46, 0, 0, 999_900)
	if d := e.refuse(amounts, of(r, "tokens", 101)); d.RetryAfter != limiter.Never {
		e.Errorf("%s: 101 of 100 tokens: %v", amounts, d)
	}
}

func leavesUnnamed(e *env) {
	r := e.metered("unnamed")
	e.admit(unnamed, 1, of(of(r, "tokens", 100), "images", 4))
	d := e.admit(unnamed, 1, costing(of(of(r, "images", 6), "other", 1<<60), 2)) // the tokens are used up
	for i, want := range []int64{47, 0, 0, 999_900} {
		if d.Windows[i].Remaining != want || d.Windows[i].Violated {
			e.Errorf("%s: limit %d has %d left, want %d: %v", unnamed, i, d.Windows[i].Remaining, want, d)
		}
	}
	e.admit(unnamed, 1, r)
	e.remaining(unnamed, r, 46, 0, 0, 999_900)
}

func asksForNothing(e *env) {
	r := e.metered("zero")
	e.admit(zeroAsks, 1, of(r, "tokens", 99))
	e.admit(zeroAsks, 3, of(r, "tokens", 0))
	e.remaining(zeroAsks, r, 46, 1, 10, 999_901)
	e.admit(zeroAsks, 1, of(r, "tokens", 1))
	d := e.refuse(zeroAsks, of(r, "tokens", 0))
	if !d.Windows[1].Violated || d.Windows[0].Violated || d.Windows[3].Violated || d.RetryAfter <= 0 {
		e.Errorf("%s: nothing is left: %v", zeroAsks, d)
	}
	e.remaining(zeroAsks, r, 45, 0, 10, 999_900)
}

func settlesAmounts(e *env) {
	r := of(of(e.metered("settles units"), "tokens", 60), "images", 5)
	d := e.take(costing(r, 2))
	e.remaining(backUnits, r, 48, 40, 5, 999_940)
	after := e.settleAs(costing(r, 2), d, limiter.Settlement{Cost: 1, Amounts: []limiter.Amount{{Unit: "tokens", N: 17}}})
	e.left(backUnits, after, 49, 83, 5, 999_983)
	r = of(of(e.metered("settles units"), "tokens", 17), "images", 5)
	after = e.settleAs(r, d, limiter.Settlement{Cost: 1, Amounts: []limiter.Amount{{Unit: "images", N: 0}, {Unit: "tokens", N: 250}}})
	e.left(backUnits, after, 49, 0, 10, 999_750)

	zero := of(e.metered("from zero"), "tokens", 0) // charged nothing, until it is settled
	after = e.settleAs(zero, e.take(zero), limiter.Settlement{Cost: 1, Amounts: []limiter.Amount{{Unit: "tokens", N: 9}}})
	e.left(backUnits, after, 49, 91, 10, 999_991)
	e.remaining(backUnits, zero, 49, 91, 10, 999_991)
}
