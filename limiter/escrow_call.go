package limiter

import (
	"context"
	"errors"
)

// answer is what the shared limiter said.
type answer struct {
	Decision
	cost           int64 // what was asked for
	whole          bool  // it was the whole cost of the request, for all claims
	sent, received int64
	until          int64 // what is left of the charge is usable before this time
	err            error
}

// refused reports that the answer is neither an admission nor an error.
func (a *answer) refused() bool { return a.err == nil && !a.Allowed }

// of returns the statuses of a claim that was asked for.
func (a *answer) of(q *claim) []Status { return a.Windows[q.first:][:len(q.Limits)] }

var errPanic = errors.New("the shared limiter panicked")

// outside unlocks the mutexes, calls f, and locks them again. Other calls for
// the first subject wait meanwhile; the accounts stay in their table.
func (e *Escrow) outside(p []claim, charge, probe bool, f func()) {
	var busy chan struct{}
	if charge {
		busy = make(chan struct{})
		p[0].acct.busy = busy
	}
	for i := range p {
		p[i].acct.pins++
	}
	unlockAccounts(p)
	returned := false
	defer func() {
		lockAccounts(p)
		for i := range p {
			p[i].acct.pins--
			if p[i].same() {
				p[i].view.demand.out -= p[i].out
			}
		}
		if busy != nil {
			p[0].acct.busy = nil
			close(busy)
		}
		if !returned { // f panicked, and nobody above unlocks
			unlockAccounts(p)
			e.breaker.fail(e.now(), probe, errPanic)
		}
	}()
	f()
	returned = true
}

// inquire asks for what is needed plus what is wanted in addition and, if that
// is too much, only for what is needed. A refusal must say when the whole
// request will be admitted: if what was drawn ends before then, inquire asks
// for the whole cost.
func (e *Escrow) inquire(ctx context.Context, p []claim, cost, need, extra int64, charge bool) answer {
	a := e.call(ctx, p, need+extra, false, charge)
	if a.refused() && extra > 0 {
		a = e.call(ctx, p, need, false, charge)
	}
	if a.refused() && ends(p, &a) {
		a = e.call(ctx, p, cost, true, charge)
	}
	return a
}

// ends reports whether something that was drawn ends before RetryAfter.
func ends(p []claim, a *answer) bool {
	for i := range p {
		if p[i].took > 0 && (a.RetryAfter < 0 || a.received+int64(a.RetryAfter) >= p[i].until) {
			return true
		}
	}
	return false
}

// call is one round trip.
func (e *Escrow) call(ctx context.Context, p []claim, cost int64, whole, charge bool) answer {
	a := answer{cost: cost, whole: whole}
	r := Request{Cost: cost}
	n := 0
	for i := range p {
		if q := &p[i]; whole || q.lacks {
			r.Demands = append(r.Demands, q.Demand)
			q.first = n
			n += len(q.Limits)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	// The charge is not older than this; the end of what it brings is computed
	// from it.
	a.sent = e.now()
	if charge {
		d, life, err := e.shared.Reserve(ctx, r)
		a.Decision, a.err = d, err
		a.until = a.sent + int64(life-life/1024)
	} else {
		a.Decision, a.err = e.shared.Peek(ctx, r)
	}
	a.received = e.now()
	return a
}
