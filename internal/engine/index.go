package engine

import (
	"math/bits"
	"sync/atomic"
)

// index finds the entries of keys without a lock. It is a hint in front of the
// maps of the shards, which hold the truth, and reads one cache line.
//
// Its invariant: **whatever it finds is an entry of the id that was asked for,
// and no more.** The entry itself shows whether it is still in use: one that
// has left the cache has no snapshot, and never gets one again. An entry that
// the index does not find may still exist. So the index may lose entries at any
// time: it is set-associative, a full group evicts one, and when the index
// grows it starts empty.
//
// A group belongs to one shard, because both are selected by the low bits of
// the hash: a writer holds that shard's lock.
type index struct {
	groups []indexGroup // a power of two, at least as many as there are shards
}

const indexWays = 7

// The same byte in all eight of a word, and the top bit of each.
const (
	everyByte = 0x0101010101010101
	topBits   = 0x80 * everyByte
)

// indexGroup fills a cache line.
type indexGroup struct {
	// tags holds, for each entry, seven bits of its hash with the top bit set,
	// starting at the lowest byte; 0 is free. The top byte is the way that is
	// evicted next. A reader that sees tags and ways from different times finds
	// the wrong entry, or none.
	tags atomic.Uint64
	ways [indexWays]atomic.Pointer[entry]
}

func newIndex(groups int) *index { return &index{make([]indexGroup, groups)} }

// crowded reports whether n entries should have a larger index: with four in a
// group, one entry in thirty finds no place.
func (x *index) crowded(n int) bool { return n > 4*len(x.groups) }

// sparse reports whether half of the groups would be plenty for n entries.
func (x *index) sparse(n int) bool { return len(x.groups) > cacheShards && 2*n < len(x.groups) }

func (x *index) group(hash uint64) *indexGroup { return &x.groups[hash&uint64(len(x.groups)-1)] }

func tagOf(hash uint64) uint64 { return hash>>57 | 0x80 }

// find returns the entry of an id, or nil if it is not in the index.
func (x *index) find(hash uint64, id string) *entry {
	if len(id) != len(keyID{}) {
		return nil
	}
	want := keyID([]byte(id)) // compared as two words
	g := x.group(hash)
	differ := g.tags.Load() ^ tagOf(hash)*everyByte
	// The bytes of differ that are 0: exact for the lowest, good enough for a
	// hint.
	for match := (differ - everyByte) &^ differ & topBits; match != 0; match &= match - 1 {
		way := bits.TrailingZeros64(match) / 8
		if way == indexWays {
			return nil
		}
		if e := g.ways[way].Load(); e != nil && e.id == want {
			return e
		}
	}
	return nil
}

// put adds an entry to the index. The entry's shard is locked.
func (x *index) put(hash uint64, e *entry) {
	g := x.group(hash)
	tags := g.tags.Load()
	way := int(tags >> 56)
	for i := range indexWays {
		if old := g.ways[i].Load(); old == nil || old == e || old.id == e.id || old.current.Load() == nil {
			way = i
			break
		}
	}
	g.ways[way].Store(e)
	tags = tags&^(0xff<<(8*way)) | tagOf(hash)<<(8*way)
	g.tags.Store(tags&^(0xff<<56) | uint64((way+1)%indexWays)<<56)
}

// remove removes the entry, if it is in the index. The entry's shard is locked.
func (x *index) remove(hash uint64, e *entry) {
	g := x.group(hash)
	for i := range indexWays {
		if g.ways[i].Load() == e {
			g.tags.And(^(uint64(0xff) << (8 * i)))
			g.ways[i].Store(nil)
			return
		}
	}
}
