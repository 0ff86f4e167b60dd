package limitertest

import (
	"time"

	"github.com/wontopos/latchkey/apikey"
)

const staysInPeriod = "a clock set back does not begin a period again"

var clockRules = []rule{
	{"a clock set back never admits more", needsStep, stepBack},
	{"a clock set back recovers when it has caught up", needsStep, stepRecovers},
	{"a clock set forward lets go what has left by it", needsStep, stepForward},
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

// stepPeriod goes back into the month before, and forth.
func stepPeriod(e *env) {
	r := ask("period", e.quota(4, apikey.Monthly), e.quota(9, apikey.Ever))
	e.admit(staysInPeriod, 2, r)
	e.step(-40 * 24 * time.Hour)
	e.admit(staysInPeriod, 1, r)
	e.remaining(staysInPeriod, r, 1, 6)
	e.step(40 * 24 * time.Hour)
	e.admit(staysInPeriod, 1, r)
	if d := e.refuse(staysInPeriod, r); d.RetryAfter > 31*24*time.Hour {
		e.Errorf("%s: the month ends in %v", staysInPeriod, d.RetryAfter)
	}
}
