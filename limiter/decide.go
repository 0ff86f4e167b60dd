package limiter

import (
	"context"
	"time"
)

// decide stores its answer in d, which must be zero.
func (w *Window) decide(ctx context.Context, r *Request, do deed, d *Decision) error {
	cost, o, err := r.check()
	if err != nil {
		return err
	}
	if o.n == 0 {
		d.Allowed = true
		return nil
	}
	var room [maxDemands]party
	p := room[:o.n]
	for i := range p {
		p[i].Demand, p[i].turn = r.Demands[o.of[i]], o.turn[i]
		if o.of[i] == 0 {
			p[i].slot = do.slot
		}
	}
	due := false
	for done := false; !done; {
		if err := w.locate(p); err != nil {
			return err
		}
		lock(p)
		done, err = w.decideLocked(ctx, p, cost, do, d)
		done = done || err != nil
		due = tick(p) || due
		unlock(p)
	}
	for i := range p {
		if p[i].made && !do.adopts(cost) && w.journal == nil { // Peek leaves no trace
			w.drop(p[i].bucket)
		}
		due = due || p[i].due
	}
	if due {
		w.sweep(ctx)
	}
	return err
}

// decideLocked decides the request and charges it. The parties' mutexes are
// held on entry and on return. If they were unlocked meanwhile, or a bucket is
// gone, it reports that it is not done, and everything is looked up again: from
// the last look-up to the charge is a single critical section. The clock is
// read inside it, so that the time of an admission lies between the call and
// its return, however long the lock took.
func (w *Window) decideLocked(ctx context.Context, p []party, cost int64, do deed, d *Decision) (done bool, err error) {
	if w.closed.Load() {
		return false, ErrClosed
	}
	for i := range p {
		if p[i].bucket.gone {
			p[i].stale = true
			return false, nil
		}
	}
	now := w.now()
	if known, err := w.recall(ctx, p); !known {
		return false, err
	}
	if do.adopts(cost) {
		if err := layOut(p, now, true); err != nil {
			return false, err
		}
	}
	if do.settle {
		if done, err := w.resettle(ctx, p, cost, now, do, d); !done {
			return false, err
		}
		cost = do.cost
	}
	if !do.adopts(cost) { // after giving back, so that a copy shows it
		if err := layOut(p, now, false); err != nil {
			return false, err
		}
	}
	if !d.Allowed { // first ask every window, then charge all or none
		n := 0
		for i := range p {
			st := d.Windows[n:][:len(p[i].Limits)]
			n += len(st)
			d.RetryAfter = later(d.RetryAfter, p[i].view.check(cost, now, st))
		}
		d.Allowed = d.RetryAfter == 0
		if d.Allowed && do.charge && !do.settle {
			if covered, err := w.cover(ctx, p, cost, now); !covered {
				*d = Decision{}
				return false, err
			}
			for i := range p {
				p[i].bucket.charge(cost, len(p[i].Limits))
			}
			d.At = now
		}
	}
	for i := range p {
		st := d.Windows[d.N:][:len(p[i].Limits)]
		d.N += len(st)
		p[i].view.report(now, st)
	}
	return true, nil
}

// recall makes sure that the buckets know what the journal holds. It reports
// false if it failed or had to unlock the mutexes.
func (w *Window) recall(ctx context.Context, p []party) (known bool, err error) {
	if w.journal == nil {
		return true, nil
	}
	for i := range p {
		if l := p[i].bucket.lease(); !l.known {
			if l.io != nil {
				return false, w.wait(ctx, p, l.io)
			}
			return false, w.load(ctx, p, i)
		}
	}
	return true, nil
}

// layOut arranges the buckets for the limits. Peek must leave no trace: where
// Take would change the layout, it gets a changed copy.
func layOut(p []party, now int64, adopt bool) error {
	for i := range p {
		q := &p[i]
		q.view = q.bucket
		if q.bucket.fits(q.Limits) {
			continue
		}
		if err := checkLimits(q.Limits); err != nil {
			return err
		}
		if !adopt {
			q.view = q.bucket.clone()
		}
		q.view.adopt(q.Limits, now)
	}
	return nil
}

// later returns the longer of two waits; Never is the longest.
func later(a, b time.Duration) time.Duration {
	if a == Never || b == Never {
		return Never
	}
	return max(a, b)
}
