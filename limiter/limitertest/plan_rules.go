package limitertest

import (
	"time"

	"github.com/wontopos/latchkey/apikey"
)

var planRules = []rule{
	{"a raised limit admits at once", always, raised},
	{"a lowered limit refuses until it drains", always, lowered},
	{"a window that stays keeps its count when another comes or goes", always, stays},
	{"a window that comes back finds its count", always, returns},
	{"a new window never admits more than its N", always, added},
}

func raised(e *env) {
	const rule = "a raised limit admits at once"
	e.admit(rule, 5, ask("up", e.limit(5)))
	e.refuse("a full window refuses", ask("up", e.limit(5)))
	e.admit(rule, 2, ask("up", e.limit(7)))
	e.refuse("a raised limit keeps its count", ask("up", e.limit(7)))
	// Wide counters: the count passes every power of two that could be a width.
	for _, n := range []int64{300, 70_000, 1_000_000_000} {
		d := e.take(ask("up", e.limit(n)))
		e.admit(rule, 1, costing(ask("up", e.limit(n)), d.Windows[0].Remaining))
		e.refuse("a raised limit keeps its count", ask("up", e.limit(n)))
	}
	e.sleep(e.Unit / 2)
	e.peek(ask("up", e.limit(1_000_000_000)))
	e.sleep(e.Unit/2 + e.Grain + time.Millisecond)
	e.remaining("all that was counted leaves", ask("up", e.limit(1_000_000_000)), 1_000_000_000)
}

func lowered(e *env) {
	const rule = "a lowered limit refuses until it drains"
	e.admit("an unused window admits N", 4, ask("down", e.limit(10)))
	e.until(e.Unit / 2)
	e.admit("an unused window admits N", 4, ask("down", e.limit(10)))
	d := e.refuse(rule, ask("down", e.limit(3)))
	if d.Windows[0].Remaining != 0 || d.RetryAfter < e.Unit-2*e.lag {
		e.Errorf("%s: 4 of 8 must leave before 3 admit one: got %+v", rule, d)
	}
	e.sleep(d.Windows[0].Reset) // the first four leave, and four still count
	e.refuse(rule, ask("down", e.limit(3)))
	e.sleep(e.peek(ask("down", e.limit(3))).RetryAfter)
	e.admit(retryHonest, 1, ask("down", e.limit(3)))
}

func stays(e *env) {
	const rule = "a window that stays keeps its count when another comes or goes"
	e.admit("an unused window admits N", 4, ask("plan", e.long(6)))
	e.admit(rule, 1, ask("plan", e.limit(100), e.long(6)))
	e.remaining(rule, ask("plan", e.long(6), e.limit(100)), 1)
	e.admit(rule, 1, ask("plan", e.long(6)))
	e.refuse(rule, ask("plan", e.long(6), apikey.Limit{Name: "third", N: 100, Window: 2 * e.Unit}))
	e.remaining("Peek with other limits changes nothing", ask("plan", e.limit(1)), 0)
	e.refuse(rule, ask("plan", e.long(6)))
}

// returns uses other limits for a while.
func returns(e *env) {
	const rule = "a window that comes back finds its count"
	e.admit("an unused window admits N", 6, ask("returns", e.long(6)))
	for range 2 {
		e.take(ask("returns", e.limit(50)))
		e.sleep(e.Unit + e.Grain + time.Millisecond)
	}
	e.refuse(rule, ask("returns", e.long(6)))
}

// added lets a new window start full or empty, as the limiter chooses, and
// checks what it admits.
func added(e *env) {
	const n = 5
	e.admit("an unused window admits N", 3, ask("new", e.long(50)))
	var admitted []Hit
	for at := e.now(); at < 3*e.Unit; at += e.Unit / 20 {
		e.until(at)
		if e.take(ask("new", e.long(50), e.limit(n))).Allowed {
			admitted = append(admitted, Hit{at, 1})
		}
	}
	if len(admitted) < n {
		e.Errorf("a new window admits once what it starts with has left: %d admitted in three windows of %d", len(admitted), n)
	}
	e.check(admitted, e.limit(n))
}
