package limiter

import (
	"context"

	"github.com/wontopos/latchkey/internal/slot"
)

// deed is what to do about a request: nothing (Peek), charge it (Take), or
// settle what was charged.
type deed struct {
	charge bool
	settle *Settlement
	taken  *Decision // what is settled
}

// decide stores its answer in d, which must be zero. The slot is that of the
// first demand, or nil.
func (w *Window) decide(ctx context.Context, r *Request, at *slot.Slot, do deed, d *Decision) error {
	_, o, err := r.check()
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
			p[i].slot = at
		}
	}
	due := false
	for done := false; !done; {
		if err := w.locate(p); err != nil {
			return err
		}
		lock(p)
		done, err = w.decideLocked(ctx, p, r, do, d)
		done = done || err != nil
		due = tick(p) || due
		unlock(p)
	}
	for i := range p {
		if p[i].made && !do.charge && w.journal == nil { // Peek leaves no trace
			w.drop(p[i].bucket)
		}
		due = due || p[i].due
	}
	if due {
		w.sweep(ctx)
	}
	return err
}

// decideLocked decides the request and charges or settles it. The parties'
// mutexes are held on entry and on return. If they were unlocked meanwhile, or a
// bucket is gone, it reports that it is not done, and everything is looked up
// again: from the last look-up to the charge is a single critical section. The
// clock is read inside it, so that the time of an admission lies between the
// call and its return, however long the lock took.
func (w *Window) decideLocked(ctx context.Context, p []party, r *Request, do deed, d *Decision) (done bool, err error) {
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
	if do.settle != nil {
		done, err = w.settleLocked(ctx, p, r, do, now, d)
	} else {
		done, err = w.takeLocked(ctx, p, r, do, now, d)
	}
	if !done {
		*d = Decision{}
		return false, err
	}
	for i := range p {
		st := d.Windows[d.N:][:len(p[i].Limits)]
		d.N += len(st)
		for j := range st {
			l := p[i].ledger(j)
			l.roll(now)
			l.status(l.shape, now, p[i].Limits[j].N, &st[j])
		}
	}
	return true, nil
}

// takeLocked first asks every limit, then charges all or none.
func (w *Window) takeLocked(ctx context.Context, p []party, r *Request, do deed, now int64, d *Decision) (done bool, err error) {
	if err := w.layOut(p, now, do.charge); err != nil {
		return false, err
	}
	var costs charges
	shadows, n := true, 0 // whether the shadows admit it, too
	d.Allowed = true
	for i := range p {
		for j := range p[i].Limits {
			limit, l := &p[i].Limits[j], p[i].ledger(j)
			l.roll(now)
			cost := r.costs(limit)
			costs[n] = max(cost, 0)
			if need := max(cost, 1); cost != uninvolved && need > limit.N-l.total {
				d.Windows[n].Violated = true
				if limit.Shadow || r.Shadow {
					shadows = false
				} else {
					d.Allowed = false
					d.RetryAfter = later(d.RetryAfter, l.wait(now, need, limit.N))
				}
			}
			n++
		}
	}
	if !d.Allowed || !do.charge {
		return true, nil
	}
	if !shadows {
		spare(p, r, &costs)
	}
	if covered, err := w.cover(ctx, p, &costs, now); !covered {
		return false, err
	}
	d.At, n = now, 0
	for i := range p {
		for j := range p[i].Limits {
			switch limit, l := &p[i].Limits[j], p[i].ledger(j); {
			case costs[n] == 0:
			case limit.Concurrent:
				if d.Slot == 0 {
					d.Slot = w.tickets.Add(1)
				}
				l.enter(d.Slot)
			default:
				d.At = max(d.At, l.add(now, costs[n], limit.N))
			}
			n++
		}
	}
	return true, nil
}

// charges are what the limits of a request are charged, in their order.
type charges [MaxWindows]int64

// spare sets what the shadows are charged to zero.
func spare(p []party, r *Request, costs *charges) {
	n := 0
	for i := range p {
		for j := range p[i].Limits {
			if r.Shadow || p[i].Limits[j].Shadow {
				costs[n] = 0
			}
			n++
		}
	}
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

// layOut finds what the limits count, and makes what is missing. Peek must leave
// no trace: where Take would change a bucket's layout, it gets a changed copy.
func (w *Window) layOut(p []party, now int64, adopt bool) error {
	for i := range p {
		q := &p[i]
		if q.view = q.bucket; q.view.index(q.Limits, &q.at) {
			continue
		}
		if err := checkLimits(q.Limits); err != nil {
			return err
		}
		if !adopt {
			q.view = q.bucket.clone()
		}
		if err := q.view.adopt(&w.layouts, q.Limits, now); err != nil {
			return err
		}
		q.view.index(q.Limits, &q.at)
	}
	return nil
}
