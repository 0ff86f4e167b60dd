package limiter

import (
	"encoding/binary"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// A window of length W is cut into k segments of s = W/k, rounded up to a
// nanosecond. Segment i spans [i*s, (i+1)*s) of the limiter's clock. A hit in
// segment i counts while the current segment is i to i+k: that is longer than
// k*s >= W, and at most s longer than that. So a ring has k+1 counters.
const (
	shortSegments = 60  // windows of up to an hour
	longSegments  = 144 // longer ones: 10 minutes of a day
)

// ring counts the hits of one subject in one window. The counter of the newest
// segment is in the ring, so that a decision within one segment reads and
// writes only the ring. The others are in the cells of its bucket, which are
// passed to the methods that need them.
//
// Invariants: total is newest plus the sum of the cells; the cell of the newest
// segment, at head, is zero until the ring rolls on; a counter is never above
// max(n, total when the ring was laid out), so it fits its width; age is the
// distance in segments from the newest segment back to the oldest counter that
// is not zero, 0 if total is 0.
type ring struct {
	edge    int64  // when the newest segment ends, a multiple of s
	n       uint32 // the limit under which it was last decided
	total   uint32
	newest  uint32
	seconds uint32 // W
	off     uint16 // where its counters begin in the cells
	width   uint8  // bytes in one counter: 1, 2 or 4
	head    uint8  // slot of the newest segment
	age     uint8
}

// newRing returns an empty ring whose newest segment is the one of now.
func newRing(length time.Duration, now int64) ring {
	r := ring{seconds: uint32(length / time.Second)}
	r.edge = (now/r.segment() + 1) * r.segment()
	return r
}

func (r *ring) length() time.Duration { return time.Duration(r.seconds) * time.Second }

// fits reports whether the ring was laid out for the limit.
func (r *ring) fits(l *apikey.Limit) bool { return int64(r.n) == l.N && r.length() == l.Window }

// shape returns k and s. It divides by unsigned constants, which compiles to a
// multiplication.
func (r *ring) shape() (k int, s int64) {
	length := uint64(r.length())
	if r.seconds <= 3600 {
		return shortSegments, int64((length + shortSegments - 1) / shortSegments)
	}
	return longSegments, int64((length + longSegments - 1) / longSegments)
}

func (r *ring) segments() int { k, _ := r.shape(); return k }

func (r *ring) segment() int64 { _, s := r.shape(); return s }

// slot returns the index of the counter of the segment age segments ago.
func (r *ring) slot(age int) int {
	if i := int(r.head) - age; i >= 0 {
		return i
	}
	return int(r.head) - age + r.segments() + 1
}

// widthFor returns the width in bytes of the narrowest counter that holds n.
func widthFor(n uint32) uint8 {
	switch {
	case n < 1<<8:
		return 1
	case n < 1<<16:
		return 2
	}
	return 4
}

func (r *ring) size() int { return (r.segments() + 1) * int(r.width) }

func (r *ring) get(cells []byte, slot int) uint32 {
	switch c := cells[r.off:]; r.width {
	case 1:
		return uint32(c[slot])
	case 2:
		return uint32(binary.LittleEndian.Uint16(c[2*slot:]))
	default:
		return binary.LittleEndian.Uint32(c[4*slot:])
	}
}

func (r *ring) set(cells []byte, slot int, v uint32) {
	switch c := cells[r.off:]; r.width {
	case 1:
		c[slot] = uint8(v)
	case 2:
		binary.LittleEndian.PutUint16(c[2*slot:], uint16(v))
	default:
		binary.LittleEndian.PutUint32(c[4*slot:], v)
	}
}

// at returns the counter of the segment age segments ago.
func (r *ring) at(cells []byte, age int) uint32 {
	if age == 0 {
		return r.newest
	}
	return r.get(cells, r.slot(age))
}

// put counts hits in the segment age segments ago, in any order.
func (r *ring) put(cells []byte, age int, n uint32) {
	if age == 0 {
		r.newest += n
	} else {
		slot := r.slot(age)
		r.set(cells, slot, r.get(cells, slot)+n)
	}
	r.total += n
	r.age = max(r.age, uint8(age))
}

// add counts cost in the newest segment.
func (r *ring) add(cost uint32) {
	r.total += cost
	r.newest += cost
}

// advance drops the hits that no longer count at now. A now before the newest
// segment is treated as being in the newest segment: nothing leaves early and
// new hits are dated late, so a clock that runs backwards never admits more.
func (r *ring) advance(cells []byte, now int64) {
	if now >= r.edge {
		r.roll(cells, now)
	}
}

func (r *ring) roll(cells []byte, now int64) {
	k, s := r.shape()
	steps := (now-r.edge)/s + 1
	r.edge += steps * s
	if r.total == 0 {
		return
	}
	if steps > int64(k) {
		if r.total > r.newest {
			clear(cells[r.off:][:r.size()])
		}
		r.total, r.newest, r.age = 0, 0, 0
		return
	}
	if r.newest > 0 {
		r.set(cells, int(r.head), r.newest)
		r.newest = 0
	}
	// Usually nothing leaves, and no other cell is touched.
	oldest := int(r.age)
	age := oldest
	for ; age > k-int(steps); age-- { // it has counted in k+1 segments
		slot := r.slot(age)
		r.total -= r.get(cells, slot)
		r.set(cells, slot, 0)
	}
	head := int(r.head) + int(steps)
	if head > k {
		head -= k + 1
	}
	r.head = uint8(head)
	if r.age = 0; r.total == 0 {
		return
	}
	left := age < oldest
	for age += int(steps); left && r.get(cells, r.slot(age)) == 0; {
		age--
	}
	r.age = uint8(age)
}

// empty reports whether nothing is counted at now. It usually needs no cells to
// tell.
func (r *ring) empty(cells []byte, now int64) bool {
	switch {
	case r.total == 0 || now >= r.leaves(0):
		return true
	case r.newest > 0:
		return false
	}
	r.advance(cells, now)
	return r.total == 0
}

// room returns what the window would still admit. It is negative if N was
// lowered below the count.
func (r *ring) room() int64 { return int64(r.n) - int64(r.total) }

// leaves returns the time when the segment age segments ago stops counting.
func (r *ring) leaves(age int) int64 {
	k, s := r.shape()
	return r.edge + int64(k-age)*s
}

// admits returns the time from which cost fits if no other hit comes. The cost
// does not fit now and is at most n, so removing counted hits makes enough
// room.
func (r *ring) admits(cells []byte, cost int64) int64 {
	need := cost - r.room()
	for age := int(r.age); ; age-- {
		need -= int64(r.at(cells, age))
		if need <= 0 {
			return r.leaves(age)
		}
	}
}

// status fills in what the window reports to a client at now.
func (r *ring) status(now int64, s *Status) {
	s.Remaining = max(r.room(), 0)
	if r.total > 0 {
		s.Reset = time.Duration(r.leaves(int(r.age)) - now)
	}
}
