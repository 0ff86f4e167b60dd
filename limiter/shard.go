package limiter

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

const (
	shardBits = 6
	shards    = 1 << shardBits

	// Garbage collection inside Take. Each new bucket pays for newCredit/
	// sweepCredit*sweepBuckets = 4 inspections, so idle buckets stay fewer than a
	// third of the live ones while keys come and go. Each bucket also pays for as
	// many as 8 in sweepCredit calls, so calls for known keys alone still collect
	// the rest. A bucket counts its calls itself: a word shared by all calls would
	// cost more than the sweeps.
	sweepCredit  = 64
	sweepBuckets = 8
	newCredit    = 32
)

// shard holds the buckets of some of the subjects. Its mutex is for making and
// removing them; a call for a known subject does not lock it.
//
// Mutexes are locked in this order: one shard, then buckets in the order of
// their subjects.
type shard struct {
	mu     sync.Mutex
	table  atomic.Pointer[table] // changed under mu; nil before the first bucket
	hand   int                   // the group where the last sweep ended
	credit int
}

// find looks a subject up.
func (s *shard) find(h uint64, subject string) *bucket {
	if t := s.table.Load(); t != nil {
		return t.find(h, subject)
	}
	return nil
}

// add makes the bucket of a subject that has none, and reports whether a sweep
// is due. mu is held.
func (s *shard) add(seed maphash.Seed, h uint64, b *bucket) (due bool) {
	t := s.table.Load()
	if t == nil {
		t = newTable(1)
	}
	t = t.resized(seed)
	t.add(h, b)
	s.table.Store(t)
	if s.credit += newCredit; s.credit < sweepCredit {
		return false
	}
	s.credit -= sweepCredit
	return true
}

// remove removes a bucket from its table. mu and the bucket's are held.
func (s *shard) remove(seed maphash.Seed, b *bucket) {
	s.table.Load().remove(b.hash(seed), b)
	b.leave()
}

// buckets returns all buckets. mu is held.
func (s *shard) buckets() (all []*bucket) {
	if t := s.table.Load(); t != nil {
		for b := range t.all() {
			all = append(all, b)
		}
	}
	return all
}

// shrink frees memory after a flood. mu is held.
func (s *shard) shrink(seed maphash.Seed) {
	if t := s.table.Load(); t != nil {
		s.table.Store(t.resized(seed))
	}
}

// hash and shardOf find the shard of a subject.
func (w *Window) hash(subject string) uint64 { return maphash.String(w.seed, subject) }

func (w *Window) shardOf(h uint64) *shard { return &w.shards[h%shards] }

// drop removes a bucket that Peek made, unless it is in use by now.
func (w *Window) drop(b *bucket) {
	s := w.shardOf(b.hash(w.seed))
	s.mu.Lock()
	defer s.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.gone && b.idle(w.now()) {
		s.remove(w.seed, b)
	}
}

// sweep inspects a few buckets of the next shard and removes the idle ones. No
// mutex is held.
func (w *Window) sweep(ctx context.Context) {
	s := &w.shards[w.hand.Add(1)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if t == nil || w.closed.Load() {
		return
	}
	var stored []*bucket
	var done chan struct{}
	now, seen := w.now(), 0
	for range t.groups {
		if seen >= sweepBuckets {
			break
		}
		if s.hand++; s.hand >= len(t.groups) {
			s.hand = 0
		}
		g := &t.groups[s.hand]
		for place := range g.at {
			b := g.at[place].Load()
			if b == nil {
				continue
			}
			seen++
			if !b.mu.TryLock() { // in use
				continue
			}
			if l := b.lease(); !l.busy() && b.idle(now) {
				if l.recorded() {
					if done == nil {
						done = make(chan struct{})
					}
					l.io = done
					stored = append(stored, b)
				} else {
					s.remove(w.seed, b)
				}
			}
			b.mu.Unlock()
		}
	}
	s.shrink(w.seed)
	if len(stored) > 0 {
		w.forget(ctx, s, stored, done)
	}
}
