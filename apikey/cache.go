package apikey

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// cache holds the snapshots of the keys in use, and with each key its requests
// in flight.
//
// Its invariant: **a snapshot in the cache is never older than the last change
// that was announced for its key.** The danger is a fill that races with a
// revocation: it reads the record, the key is revoked and the cache told, and
// then the fill puts the old record in, to stay. So a fill registers as a load
// before it reads, an announcement marks the load of its key as overtaken, and
// an overtaken load is not put in but done again. Both happen under the shard's
// lock.
//
// A key with requests in flight is never evicted: whoever revokes it must find
// them.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
	stale  time.Duration // trust a snapshot no longer than this; 0 means until told
}

const cacheShards = 64

type shard struct {
	mu      sync.RWMutex
	entries map[string]*entry
	loads   map[string]*load
	ring    []*entry // CLOCK (Corbató 1968): second chance for what was used
	hand    int
	most    int
	_       [64]byte // shards do not share a cache line
}

// entry is the lasting place of one key: snapshots come and go, requests in
// flight and their lock stay.
type entry struct {
	id     string
	slot   int                      // in the shard's ring; guarded by the shard
	used   atomic.Bool              // since the clock hand last passed
	snap   atomic.Pointer[snapshot] // nil: must be loaded; stored under mu
	mu     sync.Mutex
	key    *Key    // the newest known state, by which requests in flight are judged
	first  *Flight // requests in flight, linked through themselves
	flying int
	timer  *time.Timer // cuts what outlives its secret; nil when not needed

	attached atomic.Value // see Verified.Attached
}

// load is one read of the store on behalf of all who want the same key now.
type load struct {
	done      chan struct{}
	overtaken bool // guarded by the shard
	entry     *entry
	snap      *snapshot // nil with a nil err: no such key
	err       error
}

func newCache(size int, stale time.Duration) *cache {
	c := &cache{seed: maphash.MakeSeed(), stale: stale}
	for i := range c.shards {
		c.shards[i] = shard{
			entries: make(map[string]*entry), loads: make(map[string]*load),
			most: max(1, (size+cacheShards-1)/cacheShards),
		}
	}
	return c
}

func (c *cache) shard(id string) *shard {
	return &c.shards[maphash.String(c.seed, id)%cacheShards]
}

// lookup returns the key's entry and its snapshot; nil when it must be loaded.
func (c *cache) lookup(id string) (*entry, *snapshot) {
	sh := c.shard(id)
	sh.mu.RLock()
	e := sh.entries[id]
	sh.mu.RUnlock()
	if e == nil {
		return nil, nil
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e, e.snap.Load()
}

// begin joins the load of a key, or starts one: leader then has to finish it.
func (c *cache) begin(id string) (l *load, leader bool) {
	sh := c.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if l = sh.loads[id]; l != nil {
		return l, false
	}
	l = &load{done: make(chan struct{})}
	sh.loads[id] = l
	return l, true
}

// finish ends a load and puts its snapshot in, unless a change of the key was
// announced since the load began: then the snapshot may be from before it.
func (c *cache) finish(id string, l *load, snap *snapshot, err error) {
	sh := c.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	defer close(l.done)
	if l.overtaken {
		return
	}
	delete(sh.loads, id)
	l.snap, l.err = snap, err
	if snap == nil {
		return
	}
	e := sh.entries[id]
	if e == nil {
		e = sh.insert(id)
	}
	e.mu.Lock()
	e.snap.Store(snap)
	e.key = &snap.key
	e.mu.Unlock()
	l.entry = e
}

// insert makes room by the clock and adds an entry; the shard is locked.
func (sh *shard) insert(id string) *entry {
	e := &entry{id: id}
	e.used.Store(true)
	sh.entries[e.id] = e
	if len(sh.ring) < sh.most {
		e.slot = len(sh.ring)
		sh.ring = append(sh.ring, e)
		return e
	}
	for range 2 * len(sh.ring) {
		sh.hand = (sh.hand + 1) % len(sh.ring)
		old := sh.ring[sh.hand]
		if old.used.Swap(false) || !old.retire() {
			continue
		}
		delete(sh.entries, old.id)
		e.slot = sh.hand
		sh.ring[e.slot] = e
		return e
	}
	e.slot = len(sh.ring) // every key is in flight: grow for now
	sh.ring = append(sh.ring, e)
	return e
}

// retire empties an entry that is about to leave the cache. One with requests
// in flight stays: false. An empty snapshot makes [Flight]s that come too late
// start over, on the entry that replaces this one.
func (e *entry) retire() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flying > 0 {
		return false
	}
	e.snap.Store(nil)
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	return true
}

// invalidate takes in that a key has changed: a load under way is overtaken,
// and a snapshot from before the change goes. It returns the key's entry, nil
// when it has none.
func (c *cache) invalidate(n Notice) *entry {
	sh := c.shard(n.ID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if l := sh.loads[n.ID]; l != nil {
		l.overtaken = true
		delete(sh.loads, n.ID) // who comes now must not join it
	}
	e := sh.entries[n.ID]
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if snap := e.snap.Load(); snap != nil && (n.Deleted || snap.key.Revision < n.Revision) {
		e.snap.Store(nil)
	}
	return e
}

// forget makes the next request with a key read it again.
func (c *cache) forget(id string) { c.invalidate(Notice{ID: id, Deleted: true}) }

// inFlight counts the requests being served with one secret of a key.
func (c *cache) inFlight(id string, secret uint32) int {
	e, _ := c.lookup(id)
	if e == nil {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for f := e.first; f != nil; f = f.next {
		if f.v.Principal().secret == secret {
			n++
		}
	}
	return n
}

func (c *cache) stopTimers() {
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.RLock()
		for _, e := range sh.entries {
			e.mu.Lock()
			if e.timer != nil {
				e.timer.Stop()
				e.timer = nil
			}
			e.mu.Unlock()
		}
		sh.mu.RUnlock()
	}
}

// maxLoads bounds how often one request reads a key that keeps changing.
const maxLoads = 16

// load reads a key from the store into the cache, once for all who wait. It
// returns a nil snapshot for a key that does not exist.
func (s *Service) load(ctx context.Context, id string) (*entry, *snapshot, error) {
	if err := s.enter(); err != nil {
		return nil, nil, err
	}
	defer s.leave()
	for range maxLoads {
		l, leader := s.cache.begin(id)
		if leader {
			// On its own, so that a leader that gives up fails only itself.
			s.workers.Go(func() { s.read(context.WithoutCancel(ctx), id, l) })
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		if !l.overtaken {
			return l.entry, l.snap, l.err
		}
	}
	return nil, nil, ErrUnavailable
}

func (s *Service) read(ctx context.Context, id string, l *load) {
	ctx, cancel := context.WithTimeout(ctx, s.o.StoreTimeout)
	defer cancel()
	var snap *snapshot
	r, err := s.store.Get(ctx, id)
	switch {
	case err == nil:
		snap, err = s.compile(ctx, r)
	case errors.Is(err, ErrNotFound):
		err = nil
	}
	if err != nil {
		s.complain("a key cannot be read", "key", id, "error", err)
		snap, err = nil, ErrUnavailable
	}
	s.cache.finish(id, l, snap, err)
	switch {
	case l.overtaken || err != nil:
	case snap != nil:
		s.learn(l.entry, &snap.key) // a change that was not announced
	case !s.synchronous:
		s.notice(Notice{ID: id, Deleted: true})
	}
}
