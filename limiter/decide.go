package limiter

import (
	"context"
	"hash/maphash"
	"time"
)

// party is one demand of a request with the place of its state.
type party struct {
	Demand         // a copy, so that the request stays on the stack of the caller
	bucket *bucket // whose mutex is taken
	view   *bucket // what is decided on: bucket, or a copy where Peek must not change it
	stale  bool    // what a look-up without the shard's mutex found was gone
	made   bool    // for this call
	due    bool    // making it earned a sweep
}

// take decides and charges. It answers into d, which is zero.
func (w *Window) take(ctx context.Context, r *Request, d *Decision) error {
	done, due := w.quick(r, d)
	if !done {
		return w.decide(ctx, r, true, d)
	}
	if due {
		w.sweep(ctx)
	}
	return nil
}

// quick takes what most requests are: one subject that is known, under the one
// or two limits of its last request, with nothing to ask of the journal. Any
// other it leaves to decide, with d as it was. It is settle in a straight line:
// a critical section from the bucket that is not gone to the charge, with the
// clock read inside.
func (w *Window) quick(r *Request, d *Decision) (done, due bool) {
	limits := r.Limits
	if r.Cost < 0 || len(limits) == 0 || len(limits) > firstRings || len(r.Also.Limits) > 0 || r.Subject == "" {
		return false, false
	}
	b := w.known(&r.Demand)
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

// locate looks the buckets of the parties up and makes those that are missing.
// No mutex is held.
func (w *Window) locate(p []party) error {
	for i := range p {
		q := &p[i]
		if q.bucket = nil; !q.stale {
			q.bucket = w.known(&q.Demand)
		}
		if q.bucket == nil {
			if err := w.obtain(q); err != nil {
				return err
			}
		}
	}
	if len(p) == 2 && p[0].bucket == p[1].bucket {
		return invalidf("both demands have the slot of one subject")
	}
	return nil
}

// known looks a bucket up without the mutex of its shard. It may be gone.
func (w *Window) known(d *Demand) *bucket {
	if d.Slot != nil {
		if b := d.Slot.at.Load(); b != nil {
			return b
		}
	}
	h := maphash.String(w.seed, d.Subject)
	t := w.shardOf(h).table.Load()
	if t == nil {
		return nil
	}
	b := t.find(h, d.Subject)
	if b != nil && d.Slot != nil {
		d.Slot.at.Store(b)
	}
	return b
}

// obtain looks a bucket up under the mutex of its shard, and makes it if there
// is none.
func (w *Window) obtain(q *party) error {
	h := w.hash(q.Subject)
	s := w.shardOf(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	q.stale = false
	if q.bucket = s.find(h, q.Subject); q.bucket == nil {
		if w.closed.Load() {
			return ErrClosed
		}
		if err := checkLimits(q.Limits); err != nil {
			return err
		}
		q.bucket = newBucket(q.Subject, w.journal != nil)
		q.made = true
		q.due = s.add(w.seed, h, q.bucket) || q.due
	}
	if q.Slot != nil {
		q.Slot.at.Store(q.bucket)
	}
	return nil
}

// lock takes the mutexes of one or two parties, always in the order of their
// subjects.
func lock(p []party) {
	if len(p) == 1 {
		p[0].bucket.mu.Lock()
		return
	}
	first, second := p[0].bucket, p[1].bucket
	if p[0].Subject > p[1].Subject {
		first, second = second, first
	}
	first.mu.Lock()
	second.mu.Lock()
}

func unlock(p []party) {
	for i := range p {
		p[i].bucket.mu.Unlock()
	}
}

// tick earns the credit of one call and reports whether a sweep is due. The
// mutexes of the parties are held.
func tick(p []party) (due bool) {
	for i := range p {
		b := p[i].bucket
		if b.calls++; b.calls >= sweepCredit {
			b.calls, due = 0, true
		}
	}
	return due
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
