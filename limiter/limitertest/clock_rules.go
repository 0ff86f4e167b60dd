package limitertest

import (
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const (
	datedLikeNewest = "what a clock set back charges leaves with the newest charge"
	staysInPeriod   = "a clock set back does not begin a period again"
)

var clockRules = []rule{
	{"a clock set back never admits more", needsStep, stepBack},
	{"a clock set back recovers when it has caught up", needsStep, stepRecovers},
	{"a clock set forward lets go what has left by it", needsStep, stepForward},
	{datedLikeNewest, needsStep, stepDates},
	{staysInPeriod, allOf(needsStep, needsQuotas), stepPeriod},
}

func needsStep(h Harness) string {
	if h.Step == nil {
		return "its clock cannot be set (Harness.Step)"
	}
	return ""
}

func stepBack(e *env) {
	r := ask("back", e.limit(20))
	var admitted []Hit
	for at := time.Duration(0); at < 4*e.Unit; at += e.Unit / 40 {
		e.until(at)
		asked := e.now()
		if e.take(r).Allowed {
			admitted = append(admitted, Hit{asked, 1})
		}
		switch at {
		case e.Unit / 4:
			e.step(-time.Nanosecond)
		case e.Unit / 2:
			e.step(-e.Grain)
		case e.Unit:
			e.step(-e.Unit / 3)
		case 2 * e.Unit:
			e.step(-1000 * e.Unit)
		}
	}
	e.check(admitted, e.limit(20))
}

func stepRecovers(e *env) {
	r := ask("recovers", e.limit(5))
	e.admit("an unused window admits N", 5, r)
	e.step(-2 * e.Unit)
	d := e.refuse("a clock set back never admits more", r)
	if most := 3*e.Unit + e.jitter(); d.RetryAfter > most {
		e.Errorf("RetryAfter is at most the step and the window: got %v, want at most %v", d.RetryAfter, most)
	}
	e.sleep(d.RetryAfter)
	e.admit("a clock set back recovers when it has caught up", 1, r)
}

func stepForward(e *env) {
	r := ask("forward", e.limit(5), e.long(100))
	for _, step := range []time.Duration{e.Unit + 2*e.jitter(), 3 * e.Unit, 24 * 365 * time.Hour} {
		e.admit("a clock set forward lets go what has left by it", 5, r)
		e.refuse("a full window refuses", r)
		e.step(step)
	}
	e.admit("a clock set forward lets go what has left by it", 5, r)
}

// stepDates charges half of a small window and of a large one on both sides of a
// step, so that each is empty or full.
func stepDates(e *env) {
	sizes := []int64{10, 1000}
	half := func(n int64) limiter.Request { return costing(ask(fmt.Sprint("dates ", n), e.limit(n)), n/2) }
	asked := e.now()
	for _, n := range sizes {
		e.admit("an unused window admits N", 1, half(n))
	}
	told := e.now()
	e.step(-e.Unit / 2)
	longest := time.Duration(0)
	for _, n := range sizes {
		d := e.admit(datedLikeNewest, 1, half(n))
		if _, ok := e.l.(limiter.Settler); ok {
			e.left(datedLikeNewest, e.settle(half(n), d, 0), n/2)
			e.admit(datedLikeNewest, 1, half(n))
		}
		for _, cost := range []int64{1, n} {
			again := e.now()
			d := e.refuse(datedLikeNewest, costing(half(n), cost))
			from := asked + e.Unit*3/2 - e.now() - e.jitter()
			if to := told + e.Unit*3/2 - again + e.late(e.limit(n)) + e.jitter(); d.RetryAfter < from || d.RetryAfter > to {
				e.Errorf("%s: RetryAfter for %d of %d is %v, want %v to %v", datedLikeNewest, cost, n, d.RetryAfter, from, to)
			}
			longest = max(longest, d.RetryAfter)
		}
	}
	e.sleep(longest)
	for _, n := range sizes {
		e.admit(datedLikeNewest, 1, costing(half(n), n))
	}
}

// stepPeriod goes back into the month before, and forth.
func stepPeriod(e *env) {
	r := ask("period", e.quota(4, apikey.Monthly), e.quota(9, apikey.Ever))
	e.admit(staysInPeriod, 2, r)
	e.step(-40 * 24 * time.Hour)
	e.admit(staysInPeriod, 1, r)
	e.remaining(staysInPeriod, r, 1, 6)
	if _, ok := e.l.(limiter.Settler); ok {
		e.settle(r, e.take(r), 0)
		e.remaining(staysInPeriod, r, 1, 6)
	}
	e.step(40 * 24 * time.Hour)
	e.admit(staysInPeriod, 1, r)
	if d := e.refuse(staysInPeriod, r); d.RetryAfter > 31*24*time.Hour {
		e.Errorf("%s: the month ends in %v", staysInPeriod, d.RetryAfter)
	}
}
