package limiter

import (
	"strings"
	"time"
)

// bucket is the state of one subject: one ring for each window length. The
// first rings are those of the limits it was last decided under, in their
// order. Behind them may stand rings that no limit names any more: they are
// not charged, and stay until they are empty so that a plan that comes back
// finds its counts.
//
// A bucket is guarded by the mutex of its shard.
type bucket struct {
	subject string
	rings   []ring
	cells   []byte
	lease   *lease // what the journal covers; nil without a journal
	pos     uint32 // where it stands in shard.all
	shard   uint8  // the index of its shard
	gone    bool   // it left its shard: a Slot may still point here
}

func newBucket(subject string) *bucket {
	return &bucket{subject: strings.Clone(subject)} // the caller may reuse its memory
}

// fits reports whether the first rings are those of the limits.
func (b *bucket) fits(limits []Limit) bool {
	if len(b.rings) < len(limits) {
		return false
	}
	for i := range limits {
		if !b.rings[i].fits(&limits[i]) {
			return false
		}
	}
	return true
}

// adopt lays the bucket out for the limits, which are valid. Windows of a
// length that it knows keep their counts, in counters as wide as they need. A
// new window is seeded from an old one. What the journal covers was reserved
// for the old windows, so the reservation ends.
func (b *bucket) adopt(limits []Limit, now int64) {
	for i := range b.rings {
		b.rings[i].advance(b.cells, now)
	}
	next := make([]ring, 0, len(limits))
	from := make([]int, 0, MaxWindows) // the old ring whose counts a new one takes, -1 for none
	for _, l := range limits {
		old := b.find(l.Window)
		r := newRing(l.Window, now)
		if old >= 0 {
			r = b.rings[old]
		}
		r.n = uint32(l.N)
		next, from = append(next, r), append(from, old)
	}
	for i, r := range b.rings {
		if r.total > 0 && len(next) < MaxWindows && !named(limits, r.length()) {
			next, from = append(next, r), append(from, i)
		}
	}

	size := 0
	for i := range next {
		r := &next[i]
		r.off = uint16(size)
		r.width = widthFor(max(r.n, r.total))
		if from[i] < 0 {
			r.width = widthFor(max(r.n, b.most()))
		}
		size += r.size()
	}
	cells := make([]byte, size)
	for i := range next {
		r := &next[i]
		switch old := from[i]; {
		case old >= 0:
			for slot := range r.segments() + 1 {
				r.set(cells, slot, b.rings[old].get(b.cells, slot))
			}
		case len(b.rings) > 0:
			b.seed(r, cells, now)
		}
	}
	b.rings, b.cells = next, cells
	if b.lease != nil {
		b.lease.left = 0
	}
}

// seed fills a new window with what an old one knows: the shortest that is
// longer, else the longest. Every hit is dated at the latest instant that its
// old segment allows, so the new window starts no emptier than the truth that
// is still known. It may start fuller, which passes within its own length.
func (b *bucket) seed(r *ring, cells []byte, now int64) {
	src := &b.rings[0]
	for i := range b.rings {
		if o := &b.rings[i]; src.seconds < r.seconds && o.seconds > src.seconds ||
			o.seconds > r.seconds && o.seconds < src.seconds {
			src = o
		}
	}
	k, newest := int64(r.segments()), r.edge/r.segment()-1
	for age := int(src.age); age >= 0; age-- {
		c := src.at(b.cells, age)
		end := src.edge - int64(age)*src.segment()
		back := newest - min(end-1, now)/r.segment()
		if c > 0 && back <= k {
			r.put(cells, int(back), c)
		}
	}
}

func (b *bucket) find(length time.Duration) int {
	for i := range b.rings {
		if b.rings[i].length() == length {
			return i
		}
	}
	return -1
}

func named(limits []Limit, length time.Duration) bool {
	for i := range limits {
		if limits[i].Window == length {
			return true
		}
	}
	return false
}

// most returns the highest total of the rings.
func (b *bucket) most() (n uint32) {
	for i := range b.rings {
		n = max(n, b.rings[i].total)
	}
	return n
}

// clone returns a copy that shares nothing with b and belongs to no shard.
func (b *bucket) clone() *bucket {
	return &bucket{
		subject: b.subject,
		rings:   append([]ring(nil), b.rings...),
		cells:   append([]byte(nil), b.cells...),
	}
}

// check decides cost under the first len(st) rings at now and marks the windows
// that refuse it. retry is 0 when all admit it, else the time after which all
// would, or Never.
func (b *bucket) check(cost, now int64, st []Status) (retry time.Duration) {
	for i := range st {
		r := &b.rings[i]
		r.advance(b.cells, now)
		if cost <= r.room() {
			continue
		}
		st[i].Violated = true
		if cost > int64(r.n) {
			retry = Never
		} else {
			retry = later(retry, time.Duration(r.admits(b.cells, cost)-now))
		}
	}
	return retry
}

// charge counts cost in the first n rings. check has admitted it.
func (b *bucket) charge(cost int64, n int) {
	for i := range b.rings[:n] {
		b.rings[i].add(uint32(cost))
	}
}

// report fills in the statuses of the first len(st) rings.
func (b *bucket) report(now int64, st []Status) {
	for i := range st {
		violated := st[i].Violated
		st[i] = b.rings[i].status(now)
		st[i].Violated = violated
	}
}

// idle reports whether nothing is counted at now.
func (b *bucket) idle(now int64) bool {
	for i := range b.rings {
		r := &b.rings[i]
		if r.advance(b.cells, now); r.total > 0 {
			return false
		}
	}
	return true
}

// longest returns the length and the segment of the longest window.
func (b *bucket) longest() (length, segment time.Duration) {
	for i := range b.rings {
		if r := &b.rings[i]; r.length() > length {
			length, segment = r.length(), time.Duration(r.segment())
		}
	}
	return length, segment
}
