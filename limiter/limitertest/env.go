package limitertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
	skew  time.Duration // how far the limiter's clock was set forward
}

func newEnv(t testing.TB, h Harness) *env {
	e := &env{TB: t, Harness: h, l: h.New(t)}
	// Start at a multiple of the window, where fixed windows begin.
	e.start = time.Now().Truncate(h.Unit).Add(h.Unit)
	e.sleep(time.Until(e.start))
	return e
}

func (e *env) now() time.Duration { return time.Since(e.start) }

// clock is that of the limiter.
func (e *env) clock() time.Time { return time.Now().Add(e.skew).Round(0) }

func (e *env) step(d time.Duration) {
	e.Step(e.TB, e.l, d)
	e.skew += d
}

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

// describe names a request in a failure.
func describe(r limiter.Request) string {
	var b strings.Builder
	for _, q := range r.Demands {
		fmt.Fprintf(&b, "%q:", q.Subject)
		for _, l := range q.Limits {
			kind := string(l.Period) + " " + l.Zone
			if l.Window > 0 {
				kind = l.Window.String()
			} else if l.Concurrent {
				kind = "at once"
			}
			fmt.Fprintf(&b, " [%s: %d %s in %s", l.Name, l.N, l.Unit, strings.TrimSpace(kind))
			if l.Shadow {
				b.WriteString(", shadow")
			}
			b.WriteString("]")
		}
		b.WriteString("; ")
	}
	fmt.Fprintf(&b, "cost %d", r.Cost)
	for _, a := range r.Amounts {
		fmt.Fprintf(&b, ", %d %s", a.N, a.Unit)
	}
	if r.Shadow {
		b.WriteString(", all in the shadow")
	}
	return b.String()
}

// limits returns how many limits the request has.
func limits(r limiter.Request) (n int) {
	for _, q := range r.Demands {
		n += len(q.Limits)
	}
	return n
}

// take fails the rule if the limiter returns an error.
func (e *env) take(r limiter.Request) limiter.Decision {
	e.Helper()
	return e.takeFrom(e.l, r)
}

func (e *env) takeFrom(l limiter.Limiter, r limiter.Request) limiter.Decision {
	e.Helper()
	before := time.Now()
	d, err := l.Take(e.Context(), r)
	e.lag = max(e.lag, time.Since(before))
	if err != nil {
		e.Fatalf("Take(%s): %v", describe(r), err)
	}
	e.wellFormed(r, d)
	return d
}

// settler returns the limiter as a Settler.
func (e *env) settler() limiter.Settler {
	e.Helper()
	l, ok := e.l.(limiter.Settler)
	if ok {
		_, err := l.Settle(e.Context(), ask("can it settle", e.long(1)), limiter.Decision{}, limiter.Settlement{})
		ok = !errors.Is(err, errors.ErrUnsupported)
	}
	if !ok && !e.NoConcurrent {
		e.Fatalf("a limiter of requests in progress is a limiter.Settler, which ends them")
	}
	if !ok {
		e.Skip("not checked: it is no limiter.Settler")
	}
	return l
}

func (e *env) settle(r limiter.Request, charged limiter.Decision, cost int64) limiter.Decision {
	e.Helper()
	return e.settleAs(r, charged, limiter.Settlement{Cost: cost})
}

func (e *env) settleAs(r limiter.Request, charged limiter.Decision, s limiter.Settlement) limiter.Decision {
	e.Helper()
	l := e.settler()
	if !shadowed(r) { // then nothing else is used
		charged = limiter.Decision{At: charged.At, Slot: charged.Slot}
	}
	before := time.Now()
	d, err := l.Settle(e.Context(), r, charged, s)
	e.lag = max(e.lag, time.Since(before))
	if err != nil {
		e.Fatalf("Settle(%s, %+v): %v", describe(r), s, err)
	}
	if !d.Allowed || d.RetryAfter != 0 {
		e.Fatalf("Settle never refuses: %s at %+v: %v", describe(r), s, d)
	}
	e.wellFormed(r, d)
	return d
}

func shadowed(r limiter.Request) (any bool) {
	each(r, func(_ int, _ count, l apikey.Limit) { any = any || l.Shadow })
	return any
}

// left fails the rule unless the decision reports these numbers.
func (e *env) left(rule string, d limiter.Decision, want ...int64) {
	e.Helper()
	for i, n := range want {
		if d.Windows[i].Remaining != n {
			e.Errorf("%s: Remaining of limit %d is %d, want %d: %+v", rule, i, d.Windows[i].Remaining, n, d)
		}
	}
}

func (e *env) peek(r limiter.Request) limiter.Decision {
	e.Helper()
	before := time.Now()
	d, err := e.l.Peek(e.Context(), r)
	e.lag = max(e.lag, time.Since(before))
	if err != nil {
		e.Fatalf("Peek(%s): %v", describe(r), err)
	}
	e.wellFormed(r, d)
	return d
}

// wellFormed checks what must hold for every decision.
func (e *env) wellFormed(r limiter.Request, d limiter.Decision) {
	e.Helper()
	if want := limits(r); d.N != want {
		e.Fatalf("a decision has one status for each limit: got %d, want %d", d.N, want)
	}
	if d.Allowed != (d.RetryAfter == 0) {
		e.Errorf("RetryAfter is 0 exactly when the request was allowed: got %+v", d)
	}
	violated := false
	each(r, func(i int, _ count, l apikey.Limit) {
		violated = violated || !l.Shadow && d.Windows[i].Violated
	})
	for i, s := range d.Windows {
		if s.Remaining < 0 || s.Reset < 0 || i >= d.N && s != (limiter.Status{}) {
			e.Errorf("statuses are never negative, and zero behind the last: limit %d is %+v", i, s)
		}
	}
	if violated == d.Allowed {
		e.Errorf("a refusal names the limits that refuse, an admission none but shadows: got %+v", d)
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
	e.left(rule, e.peek(r), want...)
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
