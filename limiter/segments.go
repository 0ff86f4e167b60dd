package limiter

import (
	"encoding/binary"
	"math"
)

// A window of length W above mostPairs is cut into k segments of s = W/k,
// rounded up to a nanosecond. Segment i spans [i*s, (i+1)*s) of the limiter's
// clock. A hit in segment i counts while the current segment is i to i+k: that
// is longer than k*s >= W, and at most s longer than that. So it takes a ring of
// k+1 counters.
//
// Hits of the newest segment are counted beside the cells, so that a decision
// within one segment reads and writes only the bucket; when the segment ends
// they go there. A window that has not seen a segment end has no cells.
//
// Invariants: total is newest plus the sum of the cells; age is the distance in
// segments from the newest back to the oldest that counts something.

// slot returns the index of the counter of the segment age segments ago.
func (l ledger) slot(age int) int {
	if i := int(l.head) - age; i >= 0 {
		return i
	}
	return int(l.head) - age + int(l.k) + 1
}

// widthFor returns the width in bytes of the narrowest counter that holds n.
func widthFor(n int64) uint8 {
	switch {
	case n < 1<<8:
		return 1
	case n < 1<<16:
		return 2
	case n < 1<<32:
		return 4
	}
	return 8
}

func load(cells []byte, width uint8, slot int) int64 {
	switch width {
	case 0:
		return 0
	case 1:
		return int64(cells[slot])
	case 2:
		return int64(binary.LittleEndian.Uint16(cells[2*slot:]))
	case 4:
		return int64(binary.LittleEndian.Uint32(cells[4*slot:]))
	}
	return int64(binary.LittleEndian.Uint64(cells[8*slot:]))
}

func store(cells []byte, width uint8, slot int, v int64) {
	switch width {
	case 1:
		cells[slot] = uint8(v)
	case 2:
		binary.LittleEndian.PutUint16(cells[2*slot:], uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(cells[4*slot:], uint32(v))
	case 8:
		binary.LittleEndian.PutUint64(cells[8*slot:], uint64(v))
	}
}

// at returns what was counted in the segment age segments ago.
func (l ledger) at(age int) int64 {
	n := load(l.cells(), l.width, l.slot(age))
	if age == 0 {
		n += int64(l.newest)
	}
	return n
}

// put sets the cell of the segment age segments ago, and makes all wider if need
// be.
func (l ledger) put(age int, v int64) {
	if width := widthFor(v); width > l.width {
		old, was := append([]byte(nil), l.cells()...), l.width
		cells := l.b.resize(l.i, int(l.k+1)*int(width))
		for slot := range int(l.k + 1) {
			store(cells, width, slot, load(old, was, slot))
		}
		l.width = width
	}
	store(l.cells(), l.width, l.slot(age), v)
}

// addNewest counts cost in the newest segment, and leaves the total alone.
func (l ledger) addNewest(cost int64) {
	if sum := int64(l.newest) + cost; sum <= math.MaxUint32 {
		l.newest = uint32(sum)
		return
	}
	n := l.at(0) + cost
	l.newest = 0
	l.put(0, n)
}

func (l ledger) rollSegments(now int64) {
	k := int(l.k)
	steps := (now-l.edge)/l.s + 1
	l.edge += steps * l.s
	if l.total == 0 {
		return
	}
	if steps > l.k {
		if l.total > int64(l.newest) {
			clear(l.cells())
		}
		l.total, l.newest, l.age = 0, 0, 0
		return
	}
	if l.newest > 0 {
		n := l.at(0)
		l.newest = 0
		l.put(0, n)
	}
	cells := l.cells()
	// Usually nothing leaves, and no other cell is touched.
	oldest := int(l.age)
	age := oldest
	for ; age > k-int(steps); age-- { // it has counted in k+1 segments
		slot := l.slot(age)
		l.total -= load(cells, l.width, slot)
		store(cells, l.width, slot, 0)
	}
	head := int(l.head) + int(steps)
	if head > k {
		head -= k + 1
	}
	l.head = uint8(head)
	if l.age = 0; l.total == 0 {
		return
	}
	left := age < oldest
	for age += int(steps); left && load(cells, l.width, l.slot(age)) == 0; {
		age--
	}
	l.age = uint8(age)
}

// segmentsLeave returns when as much as least has left.
func (l ledger) segmentsLeave(least int64) int64 {
	for age := int(l.age); ; age-- {
		if least -= l.at(age); least <= 0 || age == 0 {
			return l.edge + (l.k-int64(age))*l.s
		}
	}
}

// settleSegment changes the counter of the segment of at, and returns by how
// much.
func (l ledger) settleSegment(at, difference int64) int64 {
	newest := l.edge/l.s - 1
	back := newest - min(at/l.s, newest)
	if back > l.k {
		return 0
	}
	age := int(back)
	n := l.at(age)
	difference = max(difference, -n)
	switch {
	case age > 0:
		l.put(age, n+difference)
	case difference > 0:
		l.addNewest(difference)
	default: // from the part beside the cells first
		rest := max(-difference-int64(l.newest), 0)
		l.newest -= uint32(-difference - rest)
		if rest > 0 {
			l.put(0, load(l.cells(), l.width, l.slot(0))-rest)
		}
	}
	if difference > 0 {
		l.age = max(l.age, uint8(age))
	}
	for l.age > 0 && l.at(int(l.age)) == 0 {
		l.age--
	}
	return difference
}

// segmentList returns what counts, oldest first, each segment at its first
// instant.
func (l ledger) segmentList() (all []pair) {
	begin := l.edge - l.s
	for age := int(l.age); age >= 0; age-- {
		if n := l.at(age); n > 0 {
			all = append(all, pair{begin - int64(age)*l.s, n})
		}
	}
	return all
}

// fillSegments counts a list, oldest first, in an empty ring whose newest segment
// is not before the last.
func (l ledger) fillSegments(all []pair) {
	for _, p := range all {
		if age := l.edge/l.s - 1 - p.at/l.s; age <= l.k {
			if n := l.at(int(age)); age == 0 {
				l.addNewest(p.cost)
			} else {
				l.put(int(age), n+p.cost)
			}
			l.total += p.cost
			l.age = max(l.age, uint8(age))
		}
	}
}
