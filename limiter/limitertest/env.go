package limitertest

import (
	"slices"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// env is what a rule works with: a limiter and helpers.
type env struct {
	testing.TB
	Harness
	l     limiter.Limiter
	start time.Time
	lag   time.Duration // the longest call; 0 in virtual time
}

func newEnv(t testing.TB, h Harness) *env {
	e := &env{TB: t, Harness: h, l: h.New(t)}
	// Start at a multiple of the window, where fixed windows begin.
	e.start = time.Now().Truncate(h.Unit).Add(h.Unit)
	time.Sleep(time.Until(e.start))
	return e
}

func (e *env) now() time.Duration { return time.Since(e.start) }

// until sleeps until a time on the clock that started with the rule.
func (e *env) until(at time.Duration) {
	if d := at - e.now(); d > 0 {
		e.sleep(d)
	}
}

// nextUnit sleeps until the next multiple of the window.
func (e *env) nextUnit() { e.until((e.now()/e.Unit + 1) * e.Unit) }

// sleep counts oversleeping as a slow call.
func (e *env) sleep(d time.Duration) {
	before := time.Now()
	time.Sleep(d)
	e.lag = max(e.lag, time.Since(before)-d)
}

// limit allows n in a unit.
func (e *env) limit(n int64) apikey.Limit {
	return apikey.Limit{Name: "unit", N: n, Window: e.Unit}
}

// long allows n in a window that outlasts the rule.
func (e *env) long(n int64) apikey.Limit {
	return apikey.Limit{Name: "long", N: n, Window: 20 * e.Unit}
}

func ask(subject string, limits ...apikey.Limit) limiter.Request {
	return limiter.Request{Demands: []limiter.Demand{{Subject: subject, Limits: limits}}}
}

func costing(r limiter.Request, cost int64) limiter.Request {
	r.Cost = cost
	return r
}

func with(r limiter.Request, subject string, limits ...apikey.Limit) limiter.Request {
	r.Demands = append(slices.Clone(r.Demands), limiter.Demand{Subject: subject, Limits: limits})
	return r
}

// mostDemands is how many demands a request may have.
const mostDemands = 4

// windows returns how many limits the request has.
func windows(r limiter.Request) (n int) {
	for _, q := range r.Demands {
		n += len(q.Limits)
	}
	return n
}

// take fails the rule if the limiter returns an error.
func (e *env) take(r limiter.Request) limiter.Decision {
	e.Helper()
	before := time.Now()
	d, err := e.l.Take(e.Context(), r)
	e.lag = max(e.lag, time.Since(before))
	if err != nil {
		e.Fatalf("Take(%v): %v", r, err)
	}
	e.wellFormed(r, d)
	return d
}

func (e *env) peek(r limiter.Request) limiter.Decision {
	e.Helper()
	before := time.Now()
	d, err := e.l.Peek(e.Context(), r)
	e.lag = max(e.lag, time.Since(before))
	if err != nil {
		e.Fatalf("Peek(%v): %v", r, err)
	}
	e.wellFormed(r, d)
	return d
}

// wellFormed checks what must hold for every decision.
func (e *env) wellFormed(r limiter.Request, d limiter.Decision) {
	e.Helper()
	if want := windows(r); d.N != want {
		e.Fatalf("a decision has one status for each limit: got %d, want %d", d.N, want)
	}
	if d.Allowed != (d.RetryAfter == 0) {
		e.Errorf("RetryAfter is 0 exactly when the request was allowed: got %+v", d)
	}
	violated := false
	for i, s := range d.Windows {
		violated = violated || s.Violated
		if s.Remaining < 0 || s.Reset < 0 || i >= d.N && s != (limiter.Status{}) {
			e.Errorf("statuses are never negative, and zero behind the last: window %d is %+v", i, s)
		}
	}
	if violated == d.Allowed {
		e.Errorf("a refusal names the windows that refuse, an admission none: got %+v", d)
	}
}

// admit takes the request n times and fails the rule unless all are admitted.
func (e *env) admit(rule string, n int64, r limiter.Request) (d limiter.Decision) {
	e.Helper()
	for i := range n {
		if d = e.take(r); !d.Allowed {
			e.Fatalf("%s: request %d of %d was refused: %+v", rule, i+1, n, d)
		}
	}
	return d
}

// refuse fails the rule unless the request is refused.
func (e *env) refuse(rule string, r limiter.Request) limiter.Decision {
	e.Helper()
	d := e.take(r)
	if d.Allowed {
		e.inTime()
		e.Fatalf("%s: a request was admitted: %+v", rule, d)
	}
	return d
}

// inTime ends a rule in real time if the machine was too slow for it: hits that
// should still have been counted may have left.
func (e *env) inTime() {
	e.Helper()
	if !e.Virtual && e.lag > e.Unit/4 {
		e.Fatalf("limitertest: a call took %v, too slow for Harness.Unit = %v: choose a longer one", e.lag, e.Unit)
	}
}

// remaining fails the rule unless Peek sees this much in the first windows.
func (e *env) remaining(rule string, r limiter.Request, want ...int64) {
	e.Helper()
	d := e.peek(r)
	for i, n := range want {
		if d.Windows[i].Remaining != n {
			e.Errorf("%s: Remaining of window %d is %d, want %d", rule, i, d.Windows[i].Remaining, n)
		}
	}
}

// offer sends the hits at their times and returns those admitted.
func (e *env) offer(r limiter.Request, hits []Hit) (admitted []Hit) {
	e.Helper()
	origin := e.now()
	for _, h := range hits {
		e.until(origin + h.At)
		before := e.now()
		if e.take(costing(r, h.Cost)).Allowed {
			admitted = append(admitted, Hit{before, h.Cost})
		}
	}
	return admitted
}

// check is Check with an allowance for calls that take time: a hit may have
// been decided up to lag after it was offered, so only shorter intervals prove
// that too much was admitted.
func (e *env) check(history []Hit, l apikey.Limit) {
	e.Helper()
	l.Window -= e.lag
	if err := Check(history, l); err != nil {
		e.Errorf("no interval of the window's length admits more than N: %v", err)
	}
}
