package engine

import (
	"hash/maphash"
	"maps"
	"slices"
)

// insert adds an entry, in place of one that the clock selects; the shard is
// locked.
func (c *cache) insert(sh *shard, e *entry) {
	sh.entries[e.id] = e
	if len(sh.ring) >= sh.most {
		steps := 2 * len(sh.ring)
		if len(sh.ring) > sh.most { // most are in flight: do not look at all of them on every insertion
			steps = surplusSteps
			c.trim(sh, steps)
		}
		if c.evict(sh, steps) {
			e.slot = uint32(sh.hand)
			sh.ring[e.slot] = e
			return
		} // every key is in flight: grow for now
	}
	e.slot = uint32(len(sh.ring))
	sh.ring = append(sh.ring, e)
}

// surplusSteps is how far an insertion moves the clock's hand in a shard that
// holds more than its share.
const surplusSteps = 64

// evict moves the hand, by at most steps, to an entry that can be evicted, and
// evicts it; the shard is locked. The caller fills the slot at the hand.
func (c *cache) evict(sh *shard, steps int) bool {
	for range steps {
		sh.hand = (sh.hand + 1) % len(sh.ring)
		old := sh.ring[sh.hand]
		if old.wasRecent() || !old.retire() {
			continue
		}
		delete(sh.entries, old.id)
		c.index.Load().remove(maphash.Bytes(c.seed, old.id[:]), old)
		return true
	}
	return false
}

// wasRecent reports whether the key was looked up since it was last called.
func (e *entry) wasRecent() bool {
	c := e.current.Load()
	return c != nil && c.has(recent) && c.marks.And(^uint32(recent))&recent != 0
}

// trim undoes the growth of a shard whose keys were in flight; the shard is
// locked.
func (c *cache) trim(sh *shard, steps int) {
	for len(sh.ring) > sh.most && c.evict(sh, steps) {
		last := len(sh.ring) - 1
		moved := sh.ring[last]
		moved.slot = uint32(sh.hand)
		sh.ring[sh.hand], sh.ring[last] = moved, nil
		sh.ring = sh.ring[:last]
	}
	if len(sh.ring) <= sh.most && cap(sh.ring) > 4*sh.most { // slices and maps do not shrink on their own
		sh.ring = slices.Clip(slices.Clone(sh.ring))
		entries := make(map[keyID]*entry, len(sh.entries))
		maps.Copy(entries, sh.entries) // a clone is as large as what it was made of
		sh.entries = entries
	}
}

// shrink frees the memory that a spike of requests in flight took, as far as
// they have ended. Without a spike it only looks at each shard.
func (c *cache) shrink() {
	grown, entries := false, 0
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		if len(sh.ring) > sh.most {
			grown = true
			c.trim(sh, 2*len(sh.ring))
		}
		entries += len(sh.entries)
		sh.mu.Unlock()
	}
	if x := c.index.Load(); grown && x.sparse(entries) {
		c.index.CompareAndSwap(x, newIndex(len(x.groups)/2))
	}
}

// retire empties an entry that is about to leave the cache. It returns false
// for an entry with requests in flight, which stays. An empty snapshot makes
// [Flight]s that come too late start over, on the entry that replaces this one.
func (e *entry) retire() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first != nil {
		return false
	}
	e.current.Store(nil)
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	return true
}
