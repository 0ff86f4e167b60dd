package limiter

import "encoding/binary"

// The slots of a limit on requests in progress are the ids of those requests, in
// no order. Total is their number.
const (
	slotBytes    = 8
	slotsPerRoom = 4
)

// enter adds a request.
func (l ledger) enter(id uint64) {
	cells := l.cells()
	if int(l.total) == len(cells)/slotBytes {
		room := min(max(2*int(l.room), 1), 255) // a limit has at most 1,000
		old := append([]byte(nil), cells...)
		cells = l.b.resize(l.i, room*slotsPerRoom*slotBytes)
		copy(cells, old)
		l.room = uint8(room)
	}
	binary.LittleEndian.PutUint64(cells[l.total*slotBytes:], id)
	l.total++
}

// leave removes a request, if it is there.
func (l ledger) leave(id uint64) {
	cells := l.cells()
	for i := range l.total {
		if binary.LittleEndian.Uint64(cells[i*slotBytes:]) == id {
			l.total--
			copy(cells[i*slotBytes:][:slotBytes], cells[l.total*slotBytes:])
			return
		}
	}
}
