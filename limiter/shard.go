package limiter

import (
	"context"
	"hash/maphash"
	"sync"
)

const (
	shards = 128 // a power of two

	// Garbage collection inside Take. A call earns credit, a call that makes
	// a bucket earns more, and whoever fills the purse inspects a few buckets
	// of the next shard. So each new bucket pays for sweepBuckets*newCredit/
	// sweepCredit = 4 inspections: idle buckets stay fewer than a third of the
	// live ones while keys come and go, and calls for known keys alone still
	// collect the rest.
	sweepCredit  = 64
	sweepBuckets = 8
	newCredit    = 32
)

// shard holds the buckets of a part of the subjects.
//
// Invariant: all holds the values of buckets, each at its pos.
type shard struct {
	mu      sync.Mutex
	buckets map[string]*bucket
	all     []*bucket
	hand    int // where the next sweep goes on
	credit  int
	peak    int // the most buckets since the map was made
}

func (s *shard) add(b *bucket) {
	if s.buckets == nil {
		s.buckets = make(map[string]*bucket)
	}
	b.pos = uint32(len(s.all))
	s.buckets[b.subject] = b
	s.all = append(s.all, b)
	s.peak = max(s.peak, len(s.all))
	s.credit += newCredit
}

func (s *shard) remove(b *bucket) {
	b.gone, b.rings, b.cells = true, nil, nil
	last := len(s.all) - 1
	s.all[b.pos] = s.all[last]
	s.all[b.pos].pos = b.pos
	s.all[last] = nil
	s.all = s.all[:last]
	delete(s.buckets, b.subject)

	// A Go map keeps the room of its best days: give it back after a flood.
	if s.peak > 256 && len(s.all) < s.peak/8 {
		s.buckets = make(map[string]*bucket, len(s.all))
		for _, b := range s.all {
			s.buckets[b.subject] = b
		}
		s.all = append([]*bucket(nil), s.all...)
		s.peak = len(s.all)
	}
}

// party is one demand of a request with the place of its state.
type party struct {
	Demand
	shard  *shard
	index  uint64  // of the shard: mutexes are taken in this order
	hint   *bucket // what the demand's slot remembers
	bucket *bucket
}

// place points the party at the state of the demand.
func (w *Window) place(q *party, d *Demand) {
	q.Demand = *d
	if d.Slot != nil {
		q.hint = d.Slot.at.Load()
	}
	if q.hint != nil {
		q.index = uint64(q.hint.shard)
	} else {
		q.index = maphash.String(w.seed, d.Subject) % shards
	}
	q.shard = &w.shards[q.index]
}

// known returns the subject's bucket, nil when it has none. The mutex is held.
func (q *party) known() *bucket {
	if q.hint != nil && !q.hint.gone {
		return q.hint
	}
	b := q.shard.buckets[q.Subject]
	if b != nil {
		q.remember(b)
	}
	return b
}

func (q *party) remember(b *bucket) {
	if q.hint = b; q.Slot != nil {
		q.Slot.at.Store(b)
	}
}

// lock takes the mutexes of one or two parties, always in the same order.
func lock(p []party) {
	if len(p) == 1 || p[0].index == p[1].index {
		p[0].shard.mu.Lock()
		return
	}
	first, second := p[0].shard, p[1].shard
	if p[0].index > p[1].index {
		first, second = second, first
	}
	first.mu.Lock()
	second.mu.Lock()
}

func unlock(p []party) {
	p[0].shard.mu.Unlock()
	if len(p) == 2 && p[0].index != p[1].index {
		p[1].shard.mu.Unlock()
	}
}

// tick earns the credit of one call and reports whether a sweep is due. The
// mutex of the shard is held.
func (s *shard) tick() bool {
	s.credit++
	if s.credit < sweepCredit {
		return false
	}
	s.credit -= sweepCredit
	return true
}

// sweep inspects a few buckets of the next shard and lets the idle ones go. No
// mutex is held.
func (w *Window) sweep(ctx context.Context) {
	s := &w.shards[w.hand.Add(1)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.closed.Load() {
		return
	}
	now := w.now()
	idle := make([]*bucket, 0, sweepBuckets)
	for range min(sweepBuckets, len(s.all)) {
		if s.hand++; s.hand >= len(s.all) {
			s.hand = 0
		}
		if b := s.all[s.hand]; !b.lease.busy() && b.idle(now) {
			idle = append(idle, b)
		}
	}
	stored := idle[:0]
	for _, b := range idle {
		if b.lease.recorded() {
			stored = append(stored, b)
		} else {
			s.remove(b)
		}
	}
	if len(stored) > 0 {
		w.forget(ctx, s, stored)
	}
}
