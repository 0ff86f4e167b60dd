package limiter

import (
	"context"
	"errors"
	"fmt"
)

// Settle implements [Settler]. It makes one round trip to the shared limiter,
// which must be a Settler and have a method Reserve ([NewEscrow]), otherwise the error wraps
// [errors.ErrUnsupported]. A refusal that another instance remembers stays
// until its RetryAfter.
//
// What was admitted without the shared limiter is settled in this instance.
// What was admitted with it keeps its original cost in the share of this
// instance, in case the shared limiter goes away.
func (e *Escrow) Settle(ctx context.Context, r Request, d Decision, s Settlement) (after Decision, err error) {
	if s.Cost < 0 {
		return after, invalidf("cost %d is negative", s.Cost)
	}
	was, _, err := r.check()
	if err != nil {
		return after, err
	}
	if d.At < 0 { // see degrade
		if !e.shares(&r, max(was, s.Cost)) {
			return after, fmt.Errorf("%w: cost %d is above the share of this instance", ErrUnavailable, s.Cost)
		}
		d.At = -d.At
		after, err = e.own.Settle(ctx, r, d, s)
		after.At = -after.At
		return after, err
	}
	shared, ok := e.shared.(Settler)
	if !ok {
		return after, fmt.Errorf("limiter: the shared limiter cannot settle: %w", errors.ErrUnsupported)
	}
	probe, down := e.breaker.admit(e.now())
	if down != nil {
		return after, down
	}
	answered := false
	defer func() {
		if !answered { // it panicked
			e.breaker.fail(e.now(), probe, errPanic)
		}
	}()
	bounded, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	sent := e.now()
	after, err = shared.Settle(bounded, r, d, s)
	answered = true
	switch {
	case err == nil || errors.Is(err, ErrInvalid) || errors.Is(err, ErrClosed):
		e.breaker.succeed()
	case ctx.Err() != nil:
		e.breaker.abandon(probe)
		err = fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	default:
		err = e.breaker.fail(e.now(), probe, err)
	}
	if err != nil {
		return Decision{}, err
	}
	e.settled(&r, &after, sent)
	return after, nil
}

// settled passes on to the accounts what a Settle reported about their windows.
// A remembered refusal may no longer hold.
func (e *Escrow) settled(r *Request, d *Decision, sent int64) {
	at := 0
	for i := range r.Demands {
		q := &r.Demands[i]
		st := d.Windows[at:][:len(q.Limits)]
		if at += len(st); len(st) == 0 {
			continue
		}
		a, _, err := e.find(q, false)
		if err != nil {
			continue
		}
		a.mu.Lock()
		a.freed++
		a.refused = refusal{}
		if now := e.now(); a.fits(q.Limits) {
			a.expire(now)
			a.note(st, sent, now)
			for j := range st {
				st[j].Remaining = min(st[j].Remaining+a.left, q.Limits[j].N)
			}
		}
		a.mu.Unlock()
	}
}
