package limiter

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

const (
	groupSize = 7
	groupLoad = 5 // a table grows when its groups hold this many on average

	tagBit   = 0x80 // set in every tag, so 0 is a free place
	tagShift = 57   // the other bits are the highest of the hash
	eachTag  = 0x00_01_01_01_01_01_01_01
	passed   = 1 << 56 // adds one to the byte behind the tags
	manyPass = 255 * passed
)

// table is a hash table of buckets by subject. It is changed under the mutex of
// its shard, and what is found under that mutex is the truth. It is also read
// without the mutex, and then the result is a hint: a bucket that was found may
// be gone, which it says under its own mutex, and one that was not found may
// exist all the same.
//
// A bucket is in its home group, which the hash selects, or, if that was full,
// in one of the groups behind it. A group fills a cache line, so a look-up
// usually costs one line and the bucket's.
type table struct {
	count  int // guarded by the mutex of the shard
	groups []group
}

// group holds up to 7 buckets. tags has a byte for each of them, with the high
// bit and 7 bits of its subject's hash; 0 is a free place. The eighth byte
// counts the buckets that did not fit and went on to the next group, as in
// Folly's F14: if it is 0, a search ends here.
type group struct {
	tags atomic.Uint64
	at   [groupSize]atomic.Pointer[bucket]
}

func newTable(groups int) *table { return &table{groups: make([]group, groups)} }

// home returns the i-th group on the search path of the hash.
func (t *table) home(h uint64, i int) *group {
	return &t.groups[int(h>>shardBits+uint64(i))&(len(t.groups)-1)]
}

// tag returns the tag of the hash.
func tag(h uint64) uint64 { return tagBit | h>>tagShift }

// match returns a word whose lowest set bit is in the first tag that equals the
// tag that want repeats in every place. The higher bits may be wrong.
func match(tags, want uint64) uint64 {
	x := (tags ^ want) &^ manyPass
	return (x - eachTag) &^ x & (tagBit * eachTag)
}

// find returns the bucket of the subject with the hash, or nil.
func (t *table) find(h uint64, subject string) *bucket {
	want, way, groups := tag(h)*eachTag, h>>shardBits, t.groups
	for range groups {
		g := &groups[way&uint64(len(groups)-1)]
		tags := g.tags.Load()
		for m := match(tags, want); m != 0; m &= m - 1 {
			b := g.at[bits.TrailingZeros64(m)/8].Load()
			if b != nil && b.named(subject) {
				return b
			}
		}
		if tags < passed {
			break
		}
		way++
	}
	return nil
}

// add inserts a bucket that is not in the table. A reader that sees its tag
// sees the bucket.
func (t *table) add(h uint64, b *bucket) {
	t.count++
	for i := 0; ; i++ {
		g := t.home(h, i)
		tags := g.tags.Load()
		if m := match(tags, 0); m != 0 {
			place := bits.TrailingZeros64(m) / 8
			g.at[place].Store(b)
			g.tags.Store(tags | tag(h)<<(8*place))
			return
		}
		if tags < manyPass {
			g.tags.Store(tags + passed)
		}
	}
}

// remove removes a bucket that is in the table.
func (t *table) remove(h uint64, b *bucket) {
	t.count--
	for i := 0; ; i++ {
		g := t.home(h, i)
		tags := g.tags.Load()
		for place := range g.at {
			if g.at[place].Load() == b {
				g.tags.Store(tags &^ (0xff << (8 * place)))
				g.at[place].Store(nil)
				return
			}
		}
		if tags < manyPass {
			g.tags.Store(tags - passed)
		}
	}
}

// resized returns a table with the same buckets that has room for one more and
// is not mostly empty: t itself if it already is so.
func (t *table) resized(seed maphash.Seed) *table {
	groups := len(t.groups)
	switch {
	case t.count >= groupLoad*groups:
		groups *= 2
	case 4*t.count < groups:
		groups = 1 << bits.Len(uint(t.count/2))
	default:
		return t
	}
	next := newTable(groups)
	for b := range t.all() {
		next.add(b.hash(seed), b)
	}
	return next
}

// all yields the buckets.
func (t *table) all() func(yield func(*bucket) bool) {
	return func(yield func(*bucket) bool) {
		for i := range t.groups {
			for place := range t.groups[i].at {
				if b := t.groups[i].at[place].Load(); b != nil && !yield(b) {
					return
				}
			}
		}
	}
}
