package limiter

import (
	"context"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
)

// take decides and charges. It stores its answer in d, which must be zero.
func (w *Window) take(ctx context.Context, r *Request, at *slot.Slot, fixed bool, d *Decision) error {
	done, due := w.quick(r, at, fixed, d)
	if !done {
		return w.decide(ctx, r, at, deed{charge: true}, d)
	}
	if due {
		w.sweep(ctx)
	}
	return nil
}

// quick handles the most common request: one known subject, under one or two of
// its windows or quotas of requests, without asking the journal. It leaves any
// other request to decide, with d unchanged. It is takeLocked in a straight
// line: a critical section from checking that the bucket is not gone to the
// charge, with the clock read inside.
// Limits that are fixed are compared once (DecideFixed).
func (w *Window) quick(r *Request, at *slot.Slot, fixed bool, d *Decision) (done, due bool) {
	if len(r.Demands) != 1 || len(r.Amounts) > 0 || r.Shadow || r.Cost < 0 {
		return false, false
	}
	subject, limits := r.Demands[0].Subject, r.Demands[0].Limits
	if len(limits) == 0 || len(limits) > firstCounts || subject == "" {
		return false, false
	}
	b := w.known(subject, at)
	if b == nil {
		return false, false
	}
	cost := max(r.Cost, 1)
	b.mu.Lock()
	if w.closed.Load() || !(fixed && b.knows(limits)) && !b.simple(limits, fixed) { // a bucket that is gone has no layout
		b.mu.Unlock()
		return false, false
	}
	now := w.now()
	if w.journal != nil && !b.more.lease.covers(cost, len(limits), now) {
		b.mu.Unlock()
		return false, false
	}
	counts, shapes := b.first[:len(limits)], b.layout.shapes[:len(limits)]
	least := limits[0].N // that any of them has left
	for i := range counts {
		c := &counts[i]
		if now >= c.edge {
			b.ledger(i).roll(now)
		}
		least = min(least, limits[i].N-c.total)
	}
	d.N = len(limits)
	if d.Allowed = cost <= least; d.Allowed {
		at := now
		for i := range counts {
			c, s, n := &counts[i], &shapes[i], limits[i].N
			if s.kind == segments && now >= c.edge-s.s {
				c.total += cost // at most N, which fits in 32 bits
				c.newest += uint32(cost)
			} else {
				at = max(at, b.ledger(i).add(now, cost, n))
			}
			c.status(s, now, n, &d.Windows[i])
		}
		d.At = at
		if w.journal != nil {
			b.more.lease.use(cost, len(limits))
		}
	} else {
		b.refuse(limits, cost, now, d)
	}
	if b.calls++; b.calls >= sweepCredit {
		b.calls, due = 0, true
	}
	b.mu.Unlock()
	return true, due
}

// refuse says which of the first limits have no room for cost at now, and until
// when.
func (b *bucket) refuse(limits []apikey.Limit, cost, now int64, d *Decision) {
	for i := range limits {
		l := b.ledger(i)
		if cost > limits[i].N-l.total {
			d.Windows[i].Violated = true
			d.RetryAfter = later(d.RetryAfter, l.wait(now, cost, limits[i].N))
		}
		l.status(l.shape, now, limits[i].N, &d.Windows[i])
	}
}
