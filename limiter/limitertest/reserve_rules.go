package limitertest

import (
	"time"

	"github.com/wontopos/latchkey/limiter"
)

var reserveRules = []rule{
	{"a reserved charge counts a whole window from the end of its life", virtual, lives},
	{"Reserve decides as Take does", always, reserves},
}

// reserver returns the limiter as a Reserver.
func (e *env) reserver() limiter.Reserver {
	e.Helper()
	l, ok := e.l.(limiter.Reserver)
	if !ok {
		e.Skip("not checked: it is no limiter.Reserver")
	}
	return l
}

// lives charges all of N at times throughout a segment, and checks one window
// after the last time at which the charge may be used.
func lives(e *env) {
	const rule = "a reserved charge counts a whole window from the end of its life"
	l := e.reserver()
	other := limiter.Limit{Name: "other", N: 8, Window: 3 * e.Unit}
	for i := range time.Duration(12) {
		e.nextUnit()
		e.sleep(i * e.Grain / 11)
		r := with(ask("lives "+string(rune('a'+i)), e.limit(5)), "owner of lives "+string(rune('a'+i)), other)
		asked := e.now()
		d, life, err := l.Reserve(e.Context(), costing(r, 5))
		if err != nil || !d.Allowed || life < 0 {
			e.Fatalf("%s: got %+v, %v, %v", rule, d, life, err)
		}
		if life == 0 {
			continue
		}
		e.until(asked + life + e.Unit - 2) // used at life - 1
		e.refuse(rule, ask(r.Subject, e.limit(5)))
		e.until(asked + life + other.Window - 2)
		if d := e.peek(limiter.Request{Demand: r.Also, Cost: 4}); d.Allowed {
			e.Errorf("%s: %v after a life of %v: %+v", rule, other.Window, life, d)
		}
	}
}

func reserves(e *env) {
	const rule = "Reserve decides as Take does"
	l := e.reserver()
	r := with(ask("reserves", e.long(5)), "owner of reserves", e.long(7))
	for i := range 3 {
		d, _, err := l.Reserve(e.Context(), costing(r, 2))
		if err != nil {
			e.Fatalf("%s: %v", rule, err)
		}
		if e.wellFormed(r, d); d.Allowed != (i < 2) {
			e.Errorf("%s: the request %d for 2 of 5: got %+v", rule, i+1, d)
		}
	}
	e.remaining(rule, r, 1, 3)
}
