package limiter

import (
	"encoding/binary"
)

// A window of at most mostPairs keeps the instant and the cost of each charge,
// in a ring of cells that grows as it fills. A charge leaves at exactly its
// instant plus W.
//
// Of an instant only the low bytes are kept, as many as it takes to tell apart
// those of one window: 5 for a minute. The oldest is edge-W, and every other is
// the first one from there on with its low bytes. As long as all costs are 1,
// they take no bytes.
//
// Invariants: the instants rise or stay, and the newest is less than W after the
// oldest; no cost is 0; edge is never if there are none.

// pair is a charge.
type pair struct{ at, cost int64 }

// pairsAtMost is how many a window holds. It takes settling above N to get
// there: then the two oldest become one that leaves with the later.
const pairsAtMost = 255

func (l ledger) place(i int) int {
	if i += int(l.head); i >= int(l.room) {
		return i - int(l.room)
	}
	return i
}

// low returns the bytes that are kept of an instant.
func (s *shape) low(at int64) uint64 { return uint64(at) & (1<<(8*s.stamp) - 1) }

// stamped returns the low bytes of the i-th oldest instant.
func (l ledger) stamped(cells []byte, i int) uint64 {
	c := cells[l.place(i)*int(l.stamp+l.width):]
	low := uint64(binary.LittleEndian.Uint32(c))
	switch l.stamp {
	case 5:
		low |= uint64(c[4]) << 32
	case 6:
		low |= uint64(binary.LittleEndian.Uint16(c[4:])) << 32
	case 7:
		low |= uint64(binary.LittleEndian.Uint16(c[4:]))<<32 | uint64(c[6])<<48
	}
	return low
}

func (l ledger) cost(cells []byte, i int) int64 {
	if l.width == 0 {
		return 1
	}
	return load(cells[l.place(i)*int(l.stamp+l.width)+int(l.stamp):], l.width, 0)
}

// instant returns the i-th oldest.
func (l ledger) instant(cells []byte, i int) int64 {
	first := l.edge - int64(l.window)
	return first + int64(l.low(int64(l.stamped(cells, i)-l.low(first))))
}

// set writes the i-th pair.
func (l ledger) set(cells []byte, i int, p pair) {
	c := cells[l.place(i)*int(l.stamp+l.width):]
	for b := range l.stamp {
		c[b] = byte(p.at >> (8 * b))
	}
	store(c[l.stamp:], l.width, 0, p.cost)
}

// pairList returns them, oldest first.
func (l ledger) pairList() []pair {
	cells := l.cells()
	all := make([]pair, l.age, int(l.age)+1)
	for i := range all {
		all[i] = pair{l.instant(cells, i), l.cost(cells, i)}
	}
	return all
}

// write replaces all pairs, and makes room for n of them.
func (l ledger) write(all []pair, n int64) {
	for len(all) > pairsAtMost {
		all[1].cost += all[0].cost
		all = all[1:]
	}
	width := uint8(0)
	for _, p := range all {
		if p.cost != 1 {
			width = max(width, widthFor(p.cost))
		}
	}
	room := int(l.room)
	if len(all) > room { // doubles, but not past n if that is enough
		room = max(len(all), min(2*room, max(int(n), len(all))))
		room = min(room, pairsAtMost)
	}
	cells := l.b.resize(l.i, room*(int(l.stamp)+int(width)))
	l.room, l.width, l.head, l.age = uint8(room), width, 0, uint8(len(all))
	if l.edge = never; len(all) > 0 {
		l.edge = all[0].at + int64(l.window)
	}
	for i, p := range all {
		l.set(cells, i, p)
	}
}

// push adds a charge that is not before the newest, and leaves the total alone.
func (l ledger) push(now, cost, n int64) int64 {
	cells := l.cells()
	if l.age > 0 {
		now = max(now, l.instant(cells, int(l.age)-1))
	}
	if l.age == l.room || widthFor(cost) > l.width && (cost != 1 || l.width > 0) {
		l.write(append(l.pairList(), pair{now, cost}), n)
		return now
	}
	if l.age == 0 {
		l.edge = now + int64(l.window)
	}
	l.set(cells, int(l.age), pair{now, cost})
	l.age++
	return now
}

func (l ledger) rollPairs(now int64) {
	cells := l.cells()
	for l.age > 0 && now >= l.edge {
		l.total -= l.cost(cells, 0)
		l.remove(cells, 0)
	}
}

// remove takes the i-th oldest out, and leaves the total alone.
func (l ledger) remove(cells []byte, i int) {
	if i == 0 {
		next := int64(never)
		if l.age > 1 {
			next = l.instant(cells, 1) + int64(l.window)
		}
		l.edge, l.head = next, uint8(l.place(1))
	} else {
		stride := int(l.stamp + l.width)
		for ; i < int(l.age)-1; i++ {
			copy(cells[l.place(i)*stride:][:stride], cells[l.place(i+1)*stride:])
		}
	}
	l.age--
}

// pairsLeave returns when as much as least has left.
func (l ledger) pairsLeave(least int64) int64 {
	if least <= 1 {
		return l.edge
	}
	cells := l.cells()
	for i := 0; ; i++ {
		if least -= l.cost(cells, i); least <= 0 || i == int(l.age)-1 {
			return l.instant(cells, i) + int64(l.window)
		}
	}
}

// settlePair changes the charge made at a given time, and returns by how much.
// If there is none, because it cost nothing, a higher cost makes one.
func (l ledger) settlePair(now, at, difference, n int64) (changed int64) {
	cells, i := l.cells(), 0
	for i < int(l.age) && l.instant(cells, i) < at {
		i++
	}
	there := func() bool { return i < int(l.age) && l.instant(cells, i) == at }
	if difference < 0 {
		for there() && difference < changed { // several may be of one instant
			cost := l.cost(cells, i)
			back := min(cost, changed-difference)
			if changed -= back; back == cost {
				l.remove(cells, i)
			} else {
				l.set(cells, i, pair{at, cost - back})
				i++
			}
		}
		return changed
	}
	all, window := l.pairList(), int64(l.window)
	switch {
	case there():
		cost := all[i].cost + difference
		if widthFor(cost) <= l.width {
			l.set(cells, i, pair{at, cost})
			return difference
		}
		all[i].cost = cost
	case at+window <= now:
		return 0
	default:
		if len(all) > 0 { // only clocks that were set get outside
			at = min(max(at, all[len(all)-1].at-window+1), all[0].at+window-1)
		}
		all = append(all[:i], append([]pair{{at, difference}}, all[i:]...)...)
	}
	l.write(all, n)
	return difference
}
