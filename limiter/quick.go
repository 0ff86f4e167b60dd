package limiter

import (
	"context"

	"github.com/wontopos/latchkey/internal/slot"
)

// take decides and charges. It stores its answer in d, which must be zero.
func (w *Window) take(ctx context.Context, r *Request, at *slot.Slot, d *Decision) error {
	done, due := w.quick(r, at, d)
	if !done {
		return w.decide(ctx, r, deed{charge: true, slot: at}, d)
	}
	if due {
		w.sweep(ctx)
	}
	return nil
}

// quick handles the most common request: one known subject, under the one or
// two limits of its last request, without asking the journal. It leaves any
// other request to decide, with d unchanged. It is decideLocked in a straight
// line: a critical section from checking that the bucket is not gone to the
// charge, with the clock read inside. Without it a decision about two windows
// takes 1,608 instructions in place of 845, and a whole guarded request 8 % more.
func (w *Window) quick(r *Request, at *slot.Slot, d *Decision) (done, due bool) {
	if len(r.Demands) != 1 {
		return false, false
	}
	subject, limits := r.Demands[0].Subject, r.Demands[0].Limits
	if r.Cost < 0 || len(limits) == 0 || len(limits) > firstRings || subject == "" {
		return false, false
	}
	b := w.known(subject, at)
	if b == nil {
		return false, false
	}
	cost := max(r.Cost, 1)
	b.mu.Lock()
	if w.closed.Load() || len(limits) > int(b.n) { // a bucket that is gone has no rings
		b.mu.Unlock()
		return false, false
	}
	now := w.now()
	if w.journal != nil && !b.more.lease.covers(cost, now) {
		b.mu.Unlock()
		return false, false
	}
	rings := b.rings[:len(limits)]
	room := true
	for i := range rings {
		if !rings[i].fits(&limits[i]) {
			b.mu.Unlock()
			return false, false
		}
		rings[i].advance(b.cells, now)
		room = room && cost <= rings[i].room()
	}
	d.N = len(limits)
	if d.Allowed = room; room {
		d.At = now
		for i := range rings {
			rings[i].add(uint32(cost))
			rings[i].status(now, &d.Windows[i])
		}
		if w.journal != nil {
			b.more.lease.left -= cost
		}
	} else {
		d.RetryAfter = b.check(cost, now, d.Windows[:len(limits)])
		b.report(now, d.Windows[:len(limits)])
	}
	if b.calls++; b.calls >= sweepCredit {
		b.calls, due = 0, true
	}
	b.mu.Unlock()
	return true, due
}
