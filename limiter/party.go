package limiter

import (
	"hash/maphash"

	"github.com/wontopos/latchkey/internal/slot"
)

// party is one demand of a request with its bucket.
type party struct {
	Demand // a copy, so that the request stays on the stack of the caller
	slot   *slot.Slot
	turn   uint8             // the index of the party to lock in this one's place
	bucket *bucket           // whose mutex is locked
	view   *bucket           // the bucket to decide on: bucket, or a copy if Peek must not change it
	at     [MaxWindows]uint8 // the indices in the view of what the limits count
	stale  bool              // the bucket found without the shard's mutex was gone
	made   bool              // for this call
	due    bool              // making it triggers a sweep
}

// locate looks up the buckets of the parties and makes those that are missing.
// No mutex is held.
func (w *Window) locate(p []party) error {
	for i := range p {
		q := &p[i]
		if q.bucket = nil; !q.stale {
			q.bucket = w.known(q.Subject, q.slot)
		}
		if q.bucket == nil {
			if err := w.obtain(q); err != nil {
				return err
			}
		}
	}
	for i := range p[1:] {
		if p[0].slot != nil && p[1+i].bucket == p[0].bucket { // a deadlock otherwise
			return invalidf("the slot of the first demand is that of another")
		}
	}
	return nil
}

// known looks up a bucket without the mutex of its shard. The bucket may be
// gone.
func (w *Window) known(subject string, at *slot.Slot) *bucket {
	if at != nil {
		if b, ok := at.Load().(*bucket); ok {
			return b
		}
	}
	h := maphash.String(w.seed, subject)
	t := w.shardOf(h).table.Load()
	if t == nil {
		return nil
	}
	b := t.find(h, subject)
	if b != nil && at != nil {
		at.Store(b)
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
	if q.slot != nil {
		q.slot.Store(q.bucket)
	}
	return nil
}

// lock locks the mutexes of the parties, always in the order of their subjects.
func lock(p []party) {
	for i := range p {
		p[p[i].turn].bucket.mu.Lock()
	}
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

// ledger returns what the j-th limit counts.
func (q *party) ledger(j int) ledger { return q.view.ledger(int(q.at[j])) }
