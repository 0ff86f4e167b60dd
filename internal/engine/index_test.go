package engine

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"testing"
)

// The index is a hint: what it finds has the right id, and while it has room it
// finds what was put last.
func TestIndexFindsTheRightEntryOrNone(t *testing.T) {
	seed := maphash.MakeSeed()
	rng := rand.New(rand.NewPCG(1, 2))
	name := func(i int) string { return fmt.Sprintf("%016d", i) }
	for _, keys := range []int{3, 200, 2000} { // of 448 places
		x := newIndex(cacheShards)
		put := map[string]*entry{}
		found, asked := 0, 0
		for range 20_000 {
			id := name(rng.IntN(keys))
			hash := maphash.String(seed, id)
			switch e := x.find(hash, id); {
			case e == nil:
			case e.id.String() != id:
				t.Fatalf("asked for %s and found %s", id, e.id)
			case e != put[id]:
				t.Fatalf("%d keys: found an entry of %s that another has replaced", keys, id)
			default:
				found++
			}
			asked++
			switch old := put[id]; {
			case old == nil:
			case rng.IntN(8) == 0:
				old.current.Store(nil) // it left the cache, and another takes its place
			default:
				x.put(hash, old)
				continue
			}
			e := &entry{id: keyID([]byte(id))}
			e.current.Store(&e.own)
			put[id] = e
			x.put(hash, e)
		}
		if keys <= 200 && found < asked*9/10-keys {
			t.Errorf("%d keys: found %d of %d", keys, found, asked)
		}
	}
}

// TestIndexGrowsWithTheCache: with many keys nearly every look-up is one of the
// index.
func TestIndexGrowsWithTheCache(t *testing.T) {
	c := newCache(1<<20, 0)
	const keys = 10_000
	id := func(i int) keyID { return keyID([]byte(fmt.Sprintf("%016d", i))) }
	for i := range keys {
		_, l, _ := c.begin(id(i), nil, 0, nil)
		c.finish(l, emptySnapshot(), nil)
	}
	missed := 0
	for range 2 { // the first time those that were put in before it grew
		missed = 0
		for i := range keys {
			name := id(i).String()
			hash := maphash.String(c.seed, name)
			if c.index.Load().find(hash, name) == nil {
				missed++
			}
			if c.lookup(name) == nil {
				t.Fatalf("key %d is not found", i)
			}
		}
	}
	if missed > keys/20 {
		t.Errorf("the index does not find %d of %d keys", missed, keys)
	}
}
