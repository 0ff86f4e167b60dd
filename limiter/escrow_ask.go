package limiter

import (
	"context"
	"errors"
	"fmt"
)

// part is a claim's share in a round trip.
type part struct {
	took    int64  // from what is reserved
	until   int64  // ... which is usable before this time
	charged int64  // ... and was charged then
	freed   uint64 // of the account
	lacks   bool   // took is not enough
	first   int    // index in the answer of the status of its first window
	out     int64  // what this round trip may lose
	epoch   uint64 // of the view
}

// same reports whether the limits of the view are still those of the request.
func (q *claim) same() bool { return q.view.epoch == q.epoch }

// ask lets the shared limiter decide what is not reserved. The mutexes are
// unlocked meanwhile, and other calls for the first subject wait for this one.
// If it took so long that the reservation ended, the request is not done: it
// must then be asked alone, for its whole cost.
func (e *Escrow) ask(ctx context.Context, p []claim, cost int64, charge, probe bool, alone *bool, d *Decision) (done bool, err error) {
	if err := ctx.Err(); err != nil {
		e.breaker.abandon(probe)
		return true, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	need, extra := e.draw(p, cost, charge, *alone, d)
	var a answer
	e.outside(p, charge, probe, func() { a = e.inquire(ctx, p, cost, need, extra, charge) })
	now := e.now()
	even := true
	for i := range p {
		even = even && p[i].took == p[0].took
	}
	if charge && (!a.Allowed || a.whole) { // the reservation is not used
		for i := range p {
			p[i].refund(now)
		}
	}
	if a.err != nil {
		return true, e.failed(ctx, p, cost, charge, probe, a.err, d)
	}
	e.breaker.succeed()
	if a.Allowed && charge && !e.take(ctx, p, cost, now, &a) {
		*alone = true
		return false, nil
	}
	d.Allowed, d.RetryAfter, d.At = a.Allowed, a.RetryAfter, a.At
	for i := range p {
		p[i].answer(&a, charge, now, d)
	}
	if a.refused() && charge {
		recall(p, cost, even, &a, d)
	}
	return true, nil
}

// draw takes what is reserved, up to the cost, out of the accounts. It returns
// what must be asked for, and what is worth asking for in addition. Peek only
// looks.
func (e *Escrow) draw(p []claim, cost int64, charge, alone bool, d *Decision) (need, extra int64) {
	now := e.now()
	for i := range p {
		q := &p[i]
		v := q.view
		q.part = part{until: v.until, charged: v.charge, epoch: v.epoch, freed: v.freed}
		if !alone {
			q.took = min(v.left, cost)
		}
		if v.seen != nil { // in case the limits change
			v.report(now, 0, q.statuses(d))
		}
		if charge {
			v.left -= q.took
		}
		if q.lacks = q.took < cost; q.lacks {
			need = max(need, cost-q.took)
		}
	}
	if !charge {
		return need, 0
	}
	extra = e.block
	for i := range p {
		if q := &p[i]; q.lacks { // need exceeds what it lacks if the other lacks more
			extra = min(extra, e.spare(q.view, need, now)-(q.took-(cost-need)))
		}
	}
	extra = max(extra, 0)
	for i := range p {
		q := &p[i]
		if q.out = q.took; q.lacks {
			q.out += extra
		}
		q.view.demand.out += q.out
	}
	return need, extra
}

// refund puts back what draw took.
func (q *claim) refund(now int64) {
	if q.same() {
		q.view.deposit(q.took, q.until, q.charged, now)
	}
	q.took = 0
}

// take admits the request by an answer that charged it, and keeps what the
// answer brought beyond that. It reports false if what was drawn has ended
// meanwhile: then nothing is admitted, and as much of the answer as possible is
// kept.
func (e *Escrow) take(ctx context.Context, p []claim, cost, now int64, a *answer) bool {
	late := false
	for i := range p {
		late = late || p[i].took > 0 && now >= p[i].until
	}
	for i := range p {
		q := &p[i]
		v := q.view
		if !q.same() {
			continue
		}
		switch {
		case late:
			q.refund(now)
			if q.lacks {
				v.note(a.of(q), a.sent, a.received)
				v.deposit(a.cost, a.until, a.At, now)
			}
		case a.whole || q.lacks:
			v.deposit(a.cost-(cost-q.took), a.until, a.At, now)
			v.demand.answered(a.sent, a.until-a.sent, cost)
		default:
			v.demand.used += float64(cost)
		}
	}
	if !late {
		e.remember(ctx, p, cost)
	}
	return !late
}

// answer fills in the statuses of the claim.
func (q *claim) answer(a *answer, charge bool, now int64, d *Decision) {
	st := q.statuses(d)
	v := q.view
	if a.whole || q.lacks {
		copy(st, a.of(q))
		if !q.same() {
			return
		}
		if charge {
			v.note(st, a.sent, a.received)
		} else {
			v.order(st, a.sent)
		}
		for j := range st {
			st[j].Remaining = min(st[j].Remaining+v.left, v.limits[j].N)
		}
	} else if q.same() {
		v.report(now, 0, st)
	}
}

// recall remembers a refusal. If one subject refused, it holds for all requests
// that name that subject. If several did, or the shared limiter was not asked
// for exactly what each of them lacks, it holds for a pair, and is forgotten if
// there are more.
func recall(p []claim, cost int64, even bool, a *answer, d *Decision) {
	f := refusal{cost: cost, until: forever}
	if a.RetryAfter >= 0 {
		f.until, f.retry = a.sent+int64(a.RetryAfter), a.received+int64(a.RetryAfter)
	}
	var violated [maxDemands]uint8
	at, refusing := 0, 0
	for i := range p {
		for j, s := range p[i].statuses(d) {
			if s.Violated {
				violated[i] |= 1 << j
			}
		}
		if violated[i] != 0 {
			at = i
			refusing++
		}
		if p[i].view.demand.grown = 1; !p[i].same() || p[i].view.freed != p[i].freed {
			return
		}
	}
	switch {
	case len(p) == 1 || even && refusing == 1:
	case len(p) > 2:
		return
	default:
		at = 0
		f.mate, f.epoch, f.freed, f.mates = p[1].view, p[1].epoch, p[1].freed, violated[1]
	}
	f.violated = violated[at]
	p[at].view.refused = f
}

// failed distinguishes a shared limiter that does not answer from a request
// that it calls invalid and from a caller that gave up. In the first case it
// decides without the shared limiter.
func (e *Escrow) failed(ctx context.Context, p []claim, cost int64, charge, probe bool, err error, d *Decision) error {
	switch {
	case errors.Is(err, ErrInvalid) || errors.Is(err, ErrClosed):
		e.breaker.succeed()
		return err
	case ctx.Err() != nil:
		e.breaker.abandon(probe)
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	return e.degrade(ctx, p, cost, charge, e.breaker.fail(e.now(), probe, err), d)
}
