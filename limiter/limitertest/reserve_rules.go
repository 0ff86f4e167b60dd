package limitertest

import (
	"context"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

var reserveRules = []rule{
	{"a reserved charge counts a whole window from the end of its life", virtual, lives},
	{"Reserve decides as Take does", always, reserves},
}

// reserver is what limiter.NewEscrow looks for.
type reserver interface {
	Reserve(ctx context.Context, r limiter.Request) (d limiter.Decision, life time.Duration, err error)
}

func (e *env) reserver() reserver {
	e.Helper()
	l, ok := e.l.(reserver)
	if !ok {
		e.Skip("not checked: it has no method Reserve (limiter.NewEscrow)")
	}
	return l
}

// lives charges all of N at times throughout a segment, and checks one window
// after the last time at which the charge may be used.
func lives(e *env) {
	const rule = "a reserved charge counts a whole window from the end of its life"
	l := e.reserver()
	other := apikey.Limit{Name: "other", N: 800, Window: 3 * e.Unit}
	for i := range time.Duration(12) {
		e.nextUnit()
		e.sleep(i * e.Grain / 11)
		r := with(ask("lives "+string(rune('a'+i)), e.limit(500)), "owner of lives "+string(rune('a'+i)), other)
		for n := range int(i) % 3 { // which last longer, and so do not decide
			r = with(r, fmt.Sprintf("more of lives %c %d", 'a'+rune(i), n), e.long(5000))
		}
		asked := e.now()
		d, life, err := l.Reserve(e.Context(), costing(r, 500))
		if err != nil || !d.Allowed || life < 0 {
			e.Fatalf("%s: got %+v, %v, %v", rule, d, life, err)
		}
		if life == 0 {
			continue
		}
		e.until(asked + life + e.Unit - 2) // used at life - 1
		e.refuse(rule, ask(r.Demands[0].Subject, e.limit(500)))
		e.until(asked + life + other.Window - 2)
		if d := e.peek(limiter.Request{Demands: r.Demands[1:2], Cost: 400}); d.Allowed {
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
