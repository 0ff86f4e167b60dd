package limiter

import (
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// adopt arranges the bucket for the limits, which must be valid. Windows of a
// known length keep their counts, in counters as wide as they need. A new
// window is seeded from an old one. The journal's reservation was made for the
// old windows, so it ends.
func (b *bucket) adopt(limits []apikey.Limit, now int64) {
	for i := range b.count() {
		b.ring(i).advance(b.cells, now)
	}
	next := make([]ring, 0, maxRings)
	from := make([]int, 0, maxRings) // index of the old ring whose counts a new one takes, -1 for none
	for _, l := range limits {
		old := b.find(l.Window)
		r := newRing(l.Window, now)
		if old >= 0 {
			r = *b.ring(old)
		}
		r.n = uint32(l.N)
		next, from = append(next, r), append(from, old)
	}
	for i := range b.count() {
		if r := b.ring(i); r.total > 0 && len(next) < maxRings && !named(limits, r.length()) {
			next, from = append(next, *r), append(from, i)
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
				r.set(cells, slot, b.ring(old).get(b.cells, slot))
			}
		case b.count() > 0:
			b.seed(r, cells, now)
		}
	}
	b.hold(next, cells)
	if b.more != nil {
		b.more.lease.left = 0
	}
}

// hold replaces the rings and their cells.
func (b *bucket) hold(rings []ring, cells []byte) {
	b.n, b.cells = uint8(len(rings)), cells
	rest := rings[copy(b.rings[:], rings):]
	if len(rest) > 0 && b.more == nil {
		b.more = new(more)
	}
	if b.more != nil {
		b.more.rings = append([]ring(nil), rest...)
	}
}

// seed fills a new window with what an old one knows: the shortest longer one,
// otherwise the longest. Every hit is dated at the latest time that its old
// segment allows, so the new window never starts emptier than the truth that is
// still known. It may start fuller, which passes within its own length.
func (b *bucket) seed(r *ring, cells []byte, now int64) {
	src := b.ring(0)
	for i := range b.count() {
		if o := b.ring(i); src.seconds < r.seconds && o.seconds > src.seconds ||
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
	for i := range b.count() {
		if b.ring(i).length() == length {
			return i
		}
	}
	return -1
}

func named(limits []apikey.Limit, length time.Duration) bool {
	for i := range limits {
		if limits[i].Window == length {
			return true
		}
	}
	return false
}

// most returns the highest total of the rings.
func (b *bucket) most() (n uint32) {
	for i := range b.count() {
		n = max(n, b.ring(i).total)
	}
	return n
}
