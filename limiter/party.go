package limiter

import "hash/maphash"

// party is one demand of a request with its bucket.
type party struct {
	Demand         // a copy, so that the request stays on the stack of the caller
	bucket *bucket // whose mutex is locked
	view   *bucket // the bucket to decide on: bucket, or a copy if Peek must not change it
	stale  bool    // the bucket found without the shard's mutex was gone
	made   bool    // for this call
	due    bool    // making it triggers a sweep
}

// locate looks up the buckets of the parties and makes those that are missing.
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

// known looks up a bucket without the mutex of its shard. The bucket may be
// gone.
func (w *Window) known(d *Demand) *bucket {
	if d.Slot != nil {
		if b, ok := d.Slot.Load().(*bucket); ok {
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
		d.Slot.Store(b)
	}
	return b
}

// obtain looks up a bucket under the mutex of its shard, and makes it if there
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
		q.Slot.Store(q.bucket)
	}
	return nil
}

// lock locks the mutexes of one or two parties, always in the order of their
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

// tick adds the credit of one call and reports whether a sweep is due. The
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
