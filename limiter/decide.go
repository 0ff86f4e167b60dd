package limiter

import (
	"context"
	"time"
)

// decide answers into d, which is zero.
func (w *Window) decide(ctx context.Context, r *Request, charge bool, d *Decision) error {
	cost, err := r.check()
	if err != nil {
		return err
	}
	var room [2]party
	n := 0
	if len(r.Limits) > 0 {
		room[0].Demand, n = r.Demand, 1
	}
	if len(r.Also.Limits) > 0 {
		room[n].Demand = r.Also
		n++
	}
	if n == 0 {
		d.Allowed = true
		return nil
	}
	p := room[:n]
	due := false
	for done := false; !done; {
		if err := w.locate(p); err != nil {
			return err
		}
		lock(p)
		done, err = w.settle(ctx, p, cost, charge, d)
		done = done || err != nil
		due = tick(p) || due
		unlock(p)
	}
	for i := range p {
		if p[i].made && !charge && w.journal == nil { // Peek leaves no trace
			w.drop(p[i].bucket)
		}
		due = due || p[i].due
	}
	if due {
		w.sweep(ctx)
	}
	return err
}

// settle decides the request and charges it. The parties' mutexes are held on
// entry and on return. When they were let go meanwhile, or a bucket is gone, it
// is not done and all is looked up again: what stands between the last look-up
// and the charge is one critical section. The clock is read inside it, so that
// the instant of an admission lies between the call and its return however long
// the lock took.
func (w *Window) settle(ctx context.Context, p []party, cost int64, charge bool, d *Decision) (done bool, err error) {
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
	if ready, err := w.prepare(ctx, p, now, charge); !ready {
		return false, err
	}

	// First every window is asked, then all are charged, or none.
	for i := range p {
		st := d.Windows[d.N:][:len(p[i].Limits)]
		d.N += len(st)
		d.RetryAfter = later(d.RetryAfter, p[i].view.check(cost, now, st))
	}
	d.Allowed = d.RetryAfter == 0
	if d.Allowed && charge {
		if covered, err := w.cover(ctx, p, cost, now); !covered {
			*d = Decision{}
			return false, err
		}
		for i := range p {
			p[i].bucket.charge(cost, len(p[i].Limits))
		}
	}
	rest := d.Windows[:d.N]
	for i := range p {
		n := len(p[i].Limits)
		p[i].view.report(now, rest[:n])
		rest = rest[n:]
	}
	return true, nil
}

// prepare makes sure that the buckets know what the journal holds, and lays
// them out for the limits. It reports false when it failed or had to let the
// mutexes go. Peek must leave no trace: it gets a copy where Take would change
// the layout.
func (w *Window) prepare(ctx context.Context, p []party, now int64, charge bool) (ready bool, err error) {
	for i := range p {
		q := &p[i]
		q.view = q.bucket
		if w.journal != nil && !q.bucket.lease().known {
			if io := q.bucket.lease().io; io != nil {
				return false, w.wait(ctx, p, io)
			}
			return false, w.load(ctx, p, i)
		}
		if q.bucket.fits(q.Limits) {
			continue
		}
		if err := checkLimits(q.Limits); err != nil {
			return false, err
		}
		if !charge {
			q.view = q.bucket.clone()
		}
		q.view.adopt(q.Limits, now)
	}
	return true, nil
}

// later returns the longer of two waits, where Never is the longest.
func later(a, b time.Duration) time.Duration {
	if a == Never || b == Never {
		return Never
	}
	return max(a, b)
}
