package limiter

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
)

// A table under additions, removals and resizes holds what a map holds. Hashes
// of few values make groups overflow and tags collide.
func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.Uint64Range(1, 40).Draw(t, "hashes")
		hash := func(i int) uint64 { return uint64(i) % few << shardBits }
		table, held := newTable(16), map[int]*bucket{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			i := rapid.IntRange(0, 79).Draw(t, "key")
			b := held[i]
			if b == nil {
				b = newBucket(fmt.Sprint(i), false)
				held[i] = b
				table.add(hash(i), b)
			} else {
				delete(held, i)
				table.remove(hash(i), b)
			}
			for i := range 80 {
				if got := table.find(hash(i), fmt.Sprint(i)); got != held[i] {
					t.Fatalf("key %d: found %v, the map says %v", i, got, held[i])
				}
			}
			if table.count != len(held) {
				t.Fatalf("the table counts %d, the map %d", table.count, len(held))
			}
		}
		for i, b := range held {
			table.remove(hash(i), b)
		}
		for i := range table.groups {
			if tags := table.groups[i].tags.Load(); tags != 0 {
				t.Fatalf("an empty table ends every search at once: group %d has tags %x", i, tags)
			}
		}
	})
}

// Every place and every tag of a group is found, whatever stands beside it.
func TestMatchFindsEveryTag(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		tags := rng.Uint64()
		place := rng.IntN(groupSize)
		want := rng.Uint64() >> 56
		tags = tags&^(0xff<<(8*place)) | want<<(8*place)
		m := match(tags, want*eachTag)
		if m>>(8*place)&0xff == 0 {
			t.Fatalf("tag %x at place %d of %x is not found: %x", want, place, tags, m)
		}
		if m>>56 != 0 {
			t.Fatalf("the byte behind the tags %x is taken for a tag: %x", tags, m)
		}
	}
}

// The table grows with its buckets and shrinks after a flood, and all are found
// in between.
func TestTableFollowsItsBuckets(t *testing.T) {
	seed := maphash.MakeSeed()
	s := new(shard)
	var all []*bucket
	check := func() {
		t.Helper()
		for _, b := range all {
			if s.table.Load().find(b.hash(seed), b.subject()) != b {
				t.Fatalf("%q of %d is not found", b.subject(), len(all))
			}
		}
		groups := len(s.table.Load().groups)
		if n := len(all); n > groupLoad*groups || groups > 8 && n < groups/4 {
			t.Fatalf("the table follows its buckets: %d groups for %d", groups, n)
		}
	}
	for i := range 3000 {
		b := newBucket(fmt.Sprint("subject ", i), false)
		s.add(seed, b.hash(seed), b)
		if all = append(all, b); i%100 == 0 {
			check()
		}
	}
	for len(all) > 3 {
		b := all[len(all)-1]
		all = all[:len(all)-1]
		s.remove(seed, b)
		if s.shrink(seed); len(all)%100 == 0 {
			check()
		}
	}
	check()
}

// What the table gives without a mutex is a hint. A bucket that is gone by the
// time its mutex is had is not charged, and a bucket of another subject with the
// same hash is not taken for it.
func TestIndexIsAHint(t *testing.T) {
	w, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Demands: []Demand{{Subject: "k", Limits: []apikey.Limit{{N: 10, Window: time.Minute}}}}}
	take := func() Decision {
		t.Helper()
		d, err := w.Take(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	take()
	h := w.hash("k")
	s := w.shardOf(h)
	table := s.table.Load()

	// A stale table: its bucket is gone, and it is what readers see.
	old := table.find(h, "k")
	old.mu.Lock()
	old.leave()
	old.mu.Unlock()
	stale := newTable(1)
	stale.add(h, old)
	own := new(slot.Slot)
	own.Store(old)
	table.remove(h, old)
	var answer Decision
	if err := w.Decide(t.Context(), &r, own, &answer); err != nil || answer.Windows[0].Remaining != 9 || own.Load() == old {
		t.Errorf("a bucket that is gone is looked up again: got %v, %v", answer, err)
	}
	if d := take(); d.Windows[0].Remaining != 8 {
		t.Errorf("with and without its slot a subject has one budget: got %v", d)
	}

	// Another subject under the same hash, before and behind.
	table = newTable(1)
	other := newBucket("other", false)
	table.add(h, other)
	table.add(h, s.table.Load().find(h, "k"))
	s.table.Store(table)
	if d := take(); d.Windows[0].Remaining != 7 || other.counts() != 0 {
		t.Errorf("subjects with the same hash share nothing: got %v", d)
	}

	// A miss without the mutex is no proof: the table under it is the truth.
	if got := w.known("unknown", nil); got != nil {
		t.Errorf("an unknown subject is found: %v", got)
	}
}

// What Peek made may be charged by the time it lets go.
func TestDropKeepsWhatIsCharged(t *testing.T) {
	w, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Demands: []Demand{{Subject: "k", Limits: []apikey.Limit{{N: 10, Window: time.Minute}}}}}
	for want := range int64(2) {
		d, err := w.Take(t.Context(), r)
		if err != nil || d.Windows[0].Remaining != 9-want {
			t.Fatalf("a bucket that is charged is not let go: got %v, %v", d, err)
		}
		w.drop(w.known("k", nil))
	}
}

// Long subjects that differ in their last byte only share nothing.
func TestLongSubjectsAreComparedWhole(t *testing.T) {
	for _, n := range []int{1, shortSubject - 1, shortSubject, shortSubject + 1, 255, 256, MaxSubject} {
		name := make([]byte, n)
		name[n-1] = 'a'
		a := newBucket(string(name), false)
		if !a.named(string(name)) || a.subject() != string(name) {
			t.Errorf("a subject of %d bytes is not known by its name", n)
		}
		seed := maphash.MakeSeed()
		if a.hash(seed) != maphash.String(seed, string(name)) {
			t.Errorf("a subject of %d bytes has two hashes", n)
		}
		lent := newBucket(unsafe.String(&name[0], n), false) // whose memory is reused
		name[n-1] = 'b'
		if lent.subject() != a.subject() {
			t.Errorf("a subject of %d bytes is not copied", n)
		}
		if a.named(string(name)) || a.named(string(name[:n-1])) || a.named(string(name)+"b") {
			t.Errorf("a subject of %d bytes is taken for another", n)
		}
	}
}

// The layout that the figures of the package documentation rest on.
func TestBucketFillsTwoCacheLines(t *testing.T) {
	if n := unsafe.Sizeof(bucket{}); n != 128 {
		t.Errorf("a bucket takes %d bytes, want 128", n)
	}
	if n := unsafe.Sizeof(group{}); n != 64 {
		t.Errorf("a group takes %d bytes, want 64", n)
	}
	if end := unsafe.Offsetof(bucket{}.more) + unsafe.Sizeof(bucket{}.more); end > 96 {
		t.Errorf("what every call needs ends at byte %d", end)
	}
}

func TestLeaseCovers(t *testing.T) {
	good := lease{known: true, left: []int64{5, 7}, until: 100}
	if !good.covers(5, 2, 99) {
		t.Error("what is left is covered until the reservation ends")
	}
	for name, spoil := range map[string]func(*lease){
		"not loaded":      func(l *lease) { l.known = false },
		"journal at it":   func(l *lease) { l.io = make(chan struct{}) },
		"too little left": func(l *lease) { l.left = []int64{7, 4} },
		"no room for it":  func(l *lease) { l.left = l.left[:1] },
		"at its end":      func(l *lease) { l.until = 99 },
	} {
		l := good
		if spoil(&l); l.covers(5, 2, 99) {
			t.Errorf("%s: the journal is asked first", name)
		}
	}
}
