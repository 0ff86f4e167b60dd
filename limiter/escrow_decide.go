package limiter

import (
	"context"
	"fmt"
	"time"
)

// claim is one demand of a request with its account.
type claim struct {
	Demand          // a copy, so that the request stays on the stack of the caller
	acct   *account // whose mutex is locked
	view   *account // the account to decide on: acct, or an empty one if Peek must not change acct
	at     int      // index of the status of its first window
	turn   uint8    // the index of the claim to lock in this one's place
	part            // its share in a round trip
}

// decide stores its answer in d.
func (e *Escrow) decide(ctx context.Context, r *Request, charge bool, d *Decision) error {
	*d = Decision{}
	cost, o, err := r.check()
	if err != nil {
		return err
	}
	if o.n == 0 {
		d.Allowed = true
		return nil
	}
	var room [maxDemands]claim
	p := room[:o.n]
	for i := range p {
		p[i].Demand, p[i].at, p[i].turn = r.Demands[o.of[i]], int(o.at[i]), o.turn[i]
	}
	due := false
	for done, alone := false, false; !done; {
		for i := range p {
			var earned bool
			if p[i].acct, earned, err = e.find(&p[i].Demand, charge); err != nil {
				return err
			}
			due = due || earned
		}
		lockAccounts(p)
		done, err = e.decideLocked(ctx, p, cost, charge, &alone, d)
		done = done || err != nil
		for i := range p {
			a := p[i].acct
			if a.calls++; a.calls >= sweepCredit {
				a.calls, due = 0, true
			}
		}
		unlockAccounts(p)
	}
	if err != nil {
		*d = Decision{}
	}
	if due {
		e.sweep()
	}
	return err
}

// decideLocked decides the request: from what is reserved, by a refusal that
// still holds, by the shared limiter, or without it. The mutexes are held on
// entry and on return. If they were unlocked meanwhile, it may report that it
// is not done.
func (e *Escrow) decideLocked(ctx context.Context, p []claim, cost int64, charge bool, alone *bool, d *Decision) (done bool, err error) {
	for i := range p {
		if p[i].acct.gone {
			return false, nil
		}
	}
	if busy := p[0].acct.busy; busy != nil {
		return false, wait(ctx, p, busy)
	}
	now := e.now()
	if err := prepare(p, charge, now); err != nil {
		return false, err
	}
	d.N = p[len(p)-1].at + len(p[len(p)-1].Limits)
	switch {
	case covered(p, cost):
		if charge {
			for i := range p {
				p[i].view.left -= cost
				p[i].view.demand.used += float64(cost)
				d.At = max(d.At, p[i].view.charge)
			}
			e.remember(ctx, p, cost)
		}
		admitted(p, now, d)
		return true, nil
	case refused(p, cost, now, d):
		return true, nil
	}
	probe, down := e.breaker.admit(now)
	if down != nil {
		return true, e.degrade(ctx, p, cost, charge, down, d)
	}
	return e.ask(ctx, p, cost, charge, probe, alone, d)
}

// prepare sets the accounts up for the limits. Peek must leave no trace: where
// Take would start over, Peek gets a separate account.
func prepare(p []claim, charge bool, now int64) error {
	for i := range p {
		q := &p[i]
		q.view = q.acct
		if !q.acct.fits(q.Limits) {
			if err := checkLimits(q.Limits); err != nil {
				return err
			}
			if !charge {
				q.view = new(account)
			}
			q.view.adopt(q.Limits)
		}
		q.view.at = now
		q.view.expire(now)
	}
	return nil
}

// covered reports whether what is reserved is enough.
func covered(p []claim, cost int64) bool {
	for i := range p {
		if p[i].view.left < cost {
			return false
		}
	}
	return true
}

// admitted fills in an admission.
func admitted(p []claim, now int64, d *Decision) {
	d.Allowed = true
	for i := range p {
		p[i].view.report(now, 0, p[i].statuses(d))
	}
}

func (q *claim) statuses(d *Decision) []Status { return d.Windows[q.at:][:len(q.Limits)] }

// refused answers with a remembered refusal that still holds, if there is one.
func refused(p []claim, cost, now int64, d *Decision) bool {
	for i := range p {
		if p[i].view.seen == nil {
			return false
		}
	}
	for i := range p {
		f := &p[i].view.refused
		if f.cost != cost || now >= f.until {
			continue
		}
		var violated [maxDemands]uint8
		violated[i] = f.violated
		if f.mate != nil {
			if len(p) != 2 || p[1-i].view != f.mate || f.mate.epoch != f.epoch || f.mate.freed != f.freed {
				continue
			}
			violated[1-i] = f.mates
		}
		d.RetryAfter = Never
		if f.until != forever {
			d.RetryAfter = time.Duration(f.retry - now)
		}
		for j := range p {
			p[j].view.report(now, violated[j], p[j].statuses(d))
		}
		return true
	}
	return false
}

// wait unlocks the mutexes until the call that asks for a subject has returned.
func wait(ctx context.Context, p []claim, busy <-chan struct{}) error {
	unlockAccounts(p)
	defer lockAccounts(p)
	select {
	case <-busy:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// lockAccounts locks the mutexes of the claims, always in the order of their
// subjects.
func lockAccounts(p []claim) {
	for i := range p {
		p[p[i].turn].acct.mu.Lock()
	}
}

func unlockAccounts(p []claim) {
	for i := range p {
		p[i].acct.mu.Unlock()
	}
}
