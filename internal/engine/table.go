package engine

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
	"github.com/wontopos/latchkey/internal/token"
	"github.com/wontopos/latchkey/storage"
)

// cache holds the snapshots of the keys in use, and each key's requests in
// flight.
//
// Its invariant: **a snapshot in the cache is never older than the last change
// that was announced for its key.** The danger is a fill that races with a
// revocation: the fill reads the record, the key is revoked and the cache is
// told, and then the fill stores the old record for good. So a fill registers
// as a load before it reads, an announcement marks its key's load as overtaken,
// and an overtaken load is not stored but repeated. Registering and marking
// both happen under the shard's lock.
//
// The same holds for the ids that the cache remembers as unknown, because
// creating a key is a change, too. On a store that several processes share,
// unknown ids are not remembered: a key made by another process works at once,
// before news of it arrives.
//
// A key with requests in flight is never evicted: a revocation must find them.
type cache struct {
	index  atomic.Pointer[index] // in front of the shards
	seed   maphash.Seed
	stale  time.Duration // trust what was read no longer than this; 0 means until a change is announced
	shared bool          // other processes create keys, so unknown ids are not remembered
	shards [cacheShards]shard
	absent [absentSlots]atomic.Pointer[absent] // by hash; an entry is stored under its shard's lock

	era atomic.Uint32 // incremented by flush
}

// Both are powers of two, so that a slot belongs to one shard.
const (
	cacheShards = 64
	absentSlots = 1024
)

type shard struct {
	mu      sync.Mutex
	entries map[keyID]*entry
	loads   map[keyID]*load
	ring    []*entry // CLOCK (Corbató 1968): recently used entries get a second chance
	hand    int
	most    int
	_       [64]byte // shards do not share a cache line
}

// keyID is the id of a key as it appears in tokens. The cache has no other ids.
type keyID [token.IDLen]byte

func (id keyID) String() string { return string(id[:]) }

// entry is the permanent part of one key: snapshots come and go, while requests
// in flight and their lock stay.
//
// With ten thousand keys in use, the cost of a request is that of its cold
// cache lines, and of the pages that they are in. So the fields that every
// request reads fill the first two cache lines, which processors fetch together,
// and all the rest is apart from them: an entry and its first secret, then the
// snapshot elsewhere.
type entry struct {
	id       keyID
	current  atomic.Pointer[credential] // the newest secret; nil: must be loaded; stored under mu
	mu       sync.Mutex
	first    *Flight   // requests in flight, linked through themselves
	attached slot.Slot // see Verified.Attachment
	slot     uint32    // in the shard's ring; guarded by the shard
	era      uint32    // see key

	own credential // what current points to until the key is loaded again; begins the second cache line

	// The newest known state, by which requests in flight are judged, and the era
	// in which it was read. It is set from the first snapshot on, for as long as
	// the entry lives: timers read it.
	key    *apikey.Key
	timer  *time.Timer  // cuts requests that outlive their secret; nil when not needed
	reread atomic.Int64 // when a wrong secret last caused a reread, since processStart
}

// snapshot returns the key's snapshot, or nil if it must be loaded.
func (e *entry) snapshot() *snapshot {
	if c := e.current.Load(); c != nil {
		return c.snap
	}
	return nil
}

// absent records that an id has no key, so that a client that keeps using a
// deleted key does not keep the store busy.
type absent struct {
	id keyID
	at time.Duration // when the read began, since the start of the process
}

func newCache(size int, stale time.Duration) *cache {
	c := &cache{seed: maphash.MakeSeed(), stale: stale}
	c.index.Store(newIndex(cacheShards))
	for i := range c.shards {
		c.shards[i] = shard{
			entries: make(map[keyID]*entry), loads: make(map[keyID]*load),
			most: max(1, (size+cacheShards-1)/cacheShards),
		}
	}
	return c
}

func (c *cache) shard(hash uint64) *shard { return &c.shards[hash%cacheShards] }

func (c *cache) hash(id string) uint64 { return maphash.String(c.seed, id) }

// lookup returns the current secret of a key, or nil if it must be loaded.
func (c *cache) lookup(id string) *credential {
	hash := c.hash(id)
	e := c.index.Load().find(hash, id)
	if e == nil {
		if e = c.entryOf(hash, id); e == nil {
			return nil
		}
	}
	switch current := e.current.Load(); current {
	case &e.own:
		// Not current: then the processor fetches the secret's cache line without
		// waiting for the entry's, in which the pointer is.
		return e.own.lookedUp()
	case nil:
		return nil
	default:
		return current.lookedUp()
	}
}

// lookedUp marks the secret as recent.
func (c *credential) lookedUp() *credential {
	if !c.has(recent) {
		c.marks.Or(recent)
	}
	return c
}

// entry returns the entry of an id, or nil if it has none, and helps the index
// find it the next time.
func (c *cache) entry(id string) *entry { return c.entryOf(c.hash(id), id) }

func (c *cache) entryOf(hash uint64, id string) *entry {
	if len(id) != token.IDLen {
		return nil
	}
	sh := c.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.entries[keyID([]byte(id))]
	if e != nil {
		c.index.Load().put(hash, e)
	}
	return e
}

// has reports whether the id has an entry.
func (c *cache) has(id keyID) bool {
	return c.entry(id.String()) != nil
}

// isAbsent reports whether the key is known not to exist.
func (c *cache) isAbsent(id string) bool {
	a := c.absent[c.hash(id)%absentSlots].Load()
	return a != nil && string(a.id[:]) == id && (c.stale == 0 || time.Since(processStart)-a.at < c.stale)
}

// clearAbsent makes the cache ask for an id again. The id's shard is locked.
func (c *cache) clearAbsent(hash uint64, id keyID) {
	if a := &c.absent[hash%absentSlots]; a.Load() != nil && a.Load().id == id {
		a.Store(nil)
	}
}

// begin joins the load of a key, or starts one in a queue. It joins none that
// may have asked for the plans of an older generation. It returns no load
// if another request has loaded the key meanwhile: the snapshot is then newer
// than old, which is not good enough. It also returns no load if the queue is
// full. A load returned as left is the caller's to finish: without a queue, the
// caller must read the load itself; with one, it must refuse a load that was
// dropped to make room.
func (c *cache) begin(id keyID, old *snapshot, generation uint64, n *readQueue) (snap *snapshot, l, left *load) {
	hash := maphash.Bytes(c.seed, id[:])
	sh := c.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e := sh.entries[id]; e != nil {
		if snap = e.snapshot(); snap != nil && snap != old && snap.current.terms.generation >= generation {
			c.index.Load().put(hash, e)
			return snap, nil, nil
		}
	}
	if l = sh.loads[id]; l != nil && l.generation < generation {
		l.overtaken = true
		l = nil
	}
	if l == nil {
		l = &load{id: id, queue: n, done: make(chan struct{}), era: c.era.Load(), generation: generation}
		if n == nil {
			l.began, left = time.Since(processStart), l
		}
	}
	if l.queue != nil {
		ok := false
		if left, ok = l.queue.join(l); !ok {
			return nil, nil, nil
		}
	}
	sh.loads[id] = l
	return nil, l, left
}

// leave ends the wait for a load. A load that nobody waits for any more is not
// begun.
func (c *cache) leave(l *load) {
	if l.queue == nil {
		return
	}
	sh := c.shard(maphash.Bytes(c.seed, l.id[:]))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if l.queue.leave(l) && sh.loads[l.id] == l {
		delete(sh.loads, l.id)
	}
}

// finish ends a load and stores its snapshot, unless a change of the key was
// announced after the load began: the snapshot may then predate the change.
func (c *cache) finish(l *load, snap *snapshot, err error) {
	id, hash := l.id, maphash.Bytes(c.seed, l.id[:])
	sh := c.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	defer close(l.done)
	if l.overtaken {
		return
	}
	delete(sh.loads, id)
	l.snap, l.err = snap, err
	if snap == nil {
		if err == nil && !c.shared {
			c.absent[hash%absentSlots].Store(&absent{id, l.began})
		}
		return
	}
	// The change that made the key may yet have to be announced: without this, the key would be unknown again as soon as
	// its entry is evicted.
	c.clearAbsent(hash, id)
	e := sh.entries[id]
	if e == nil {
		e = snap.current.entry
		e.id = id
		c.insert(sh, e)
		if x := c.index.Load(); x.crowded(len(sh.entries) * cacheShards) {
			c.index.CompareAndSwap(x, newIndex(2*len(x.groups)))
		}
	}
	snap.belong(e)
	snap.era = l.era
	e.mu.Lock()
	e.current.Store(snap.current)
	e.key, e.era = &snap.key, snap.era
	e.mu.Unlock()
	c.index.Load().put(hash, e)
}

// invalidate records that a key has changed: a load under way becomes
// overtaken, and a snapshot from before the change is dropped. It returns the
// key's entry, or nil if it has none.
func (c *cache) invalidate(n storage.Notice) *entry {
	if len(n.ID) != token.IDLen {
		return nil // no token has such an id
	}
	id, hash := keyID([]byte(n.ID)), maphash.String(c.seed, n.ID)
	sh := c.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c.clearAbsent(hash, id)
	if l := sh.loads[id]; l != nil {
		l.overtaken = true
		delete(sh.loads, id) // requests that come now must not join it
	}
	e := sh.entries[id]
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if snap := e.snapshot(); snap != nil && (n.Deleted || snap.key.Revision < n.Revision) {
		e.current.Store(nil)
	}
	return e
}

// forget makes the next request with a key read it again.
func (c *cache) forget(id string) { c.invalidate(storage.Notice{ID: id, Deleted: true}) }

// flush drops all snapshots and begins a new era: the store has a different
// history from the one that they were read from, and revisions of the two
// histories cannot be compared. It returns the ids of the keys that have
// requests in flight. What is known about those keys stays, for their timers,
// until they are read again.
func (c *cache) flush() (ids []string) {
	c.era.Add(1)
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		for id, l := range sh.loads {
			l.overtaken = true
			delete(sh.loads, id)
		}
		for _, e := range sh.entries {
			e.mu.Lock()
			e.current.Store(nil)
			if e.first != nil {
				ids = append(ids, e.id.String())
			}
			e.mu.Unlock()
		}
		sh.mu.Unlock()
	}
	for i := range c.absent { // after the loads, which could store one
		c.absent[i].Store(nil)
	}
	return ids
}

// visit calls f with each entry, locked, until f returns false. A shard is locked
// for as long as its entries take.
func (c *cache) visit(f func(*entry) bool) {
	for i := range c.shards {
		if !c.shards[i].visit(f) {
			return
		}
	}
}

func (sh *shard) visit(f func(*entry) bool) (more bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, e := range sh.entries {
		e.mu.Lock()
		more := f(e)
		e.mu.Unlock()
		if !more {
			return false
		}
	}
	return true
}

// size returns how many keys the cache holds.
func (c *cache) size() int {
	n := 0
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		n += len(sh.entries)
		sh.mu.Unlock()
	}
	return n
}

func (c *cache) stopTimers() {
	c.visit(func(e *entry) bool {
		if e.timer != nil {
			e.timer.Stop()
			e.timer = nil
		}
		return true
	})
}
