package limiter

import (
	"time"
)

// count is what a bucket holds for one limit. The fields mean the same for all
// ways of counting as far as a decision needs them: before edge nothing leaves,
// and total is what counts. So a decision reads two words for each limit, and
// leaves the rest to what is charged or leaves.
//
//	          edge, the end of        newest             head, age            room
//	segments  the newest segment      in that, or part   slot of the newest,  -
//	                                                     age of the oldest
//	pairs     the oldest pair         -                  place of the oldest, places
//	                                                     number of pairs
//	quota     the period              -                  -                    -
//	slots     never                   -                  -                    places/4
//
// The rest is in the bucket's cells, in as few bytes as it needs.
type count struct {
	edge   int64
	total  int64
	newest uint32
	head   uint8
	age    uint8
	width  uint8 // bytes in a segment's counter, or in the cost of a pair
	room   uint8 // what there are cells for
}

// mostTotal bounds every sum, whatever is settled: further charges are dropped.
const mostTotal = 1 << 62

// newCount returns the count of a limit that has none.
func newCount(s *shape, now int64) count {
	c := count{edge: never}
	switch {
	case s.kind == segments:
		c.edge = (now/s.s + 1) * s.s
	case s.begins != nil:
		c.edge = now // begins the period
		c.renew(s, now)
	}
	return c
}

// size returns how many bytes of cells the count has.
func (c *count) size(s *shape) int {
	switch s.kind {
	case segments:
		return int(s.k+1) * int(c.width)
	case pairs:
		return int(c.room) * int(s.stamp+c.width)
	case slots:
		return int(c.room) * slotsPerRoom * slotBytes
	}
	return 0
}

// ledger is a count with all that it takes to change it.
type ledger struct {
	*count
	*shape
	b *bucket
	i int // its index
}

// cells are those of the count.
func (l ledger) cells() []byte {
	off := l.b.offset(l.i)
	return l.b.cells[off:][:l.size(l.shape)]
}

// roll drops what no longer counts at now. A now before the newest charge is
// taken for that: nothing leaves early, and a period stays. So a clock that runs
// backwards never admits more.
func (l ledger) roll(now int64) {
	if now < l.edge {
		return
	}
	switch l.kind {
	case segments:
		l.rollSegments(now)
	case pairs:
		l.rollPairs(now)
	case quota:
		l.renew(l.shape, now)
	}
}

// add counts cost at now, or at the newest charge if that is later, and returns
// when. n is the limit's.
func (l ledger) add(now, cost, n int64) int64 {
	if cost = min(cost, mostTotal-l.total); cost == 0 {
		return now
	}
	switch l.kind {
	case segments:
		now = max(now, l.edge-l.s)
		l.addNewest(cost)
	case pairs:
		now = l.push(now, cost, n)
	case quota:
		now = l.within(now)
	}
	l.total += cost
	return now
}

// wait returns how long it takes until need fits below n, if nothing else is
// charged. It does not fit now.
func (l ledger) wait(now, need, n int64) time.Duration {
	switch {
	case need > n:
		return Never
	case l.kind == slots:
		return Unknown
	case l.edge == never: // a quota of Ever
		return Never
	}
	least := need - (n - l.total) // that must leave
	switch l.kind {
	case segments:
		return time.Duration(l.segmentsLeave(least) - now)
	case pairs:
		return time.Duration(l.pairsLeave(least) - now)
	}
	return time.Duration(l.edge - now)
}

// later returns the longer of two waits.
func later(a, b time.Duration) time.Duration {
	switch {
	case a == Never || b == Never:
		return Never
	case a == Unknown || b == Unknown:
		return Unknown
	}
	return max(a, b)
}

// settle changes what was charged at a given time, where that still counts.
// Giving back takes at most what is there.
func (l ledger) settle(now, at, difference, n int64) {
	l.roll(now)
	if difference > 0 {
		difference = min(difference, mostTotal-l.total)
	}
	if difference == 0 {
		return
	}
	switch l.kind {
	case segments:
		difference = l.settleSegment(at, difference)
	case pairs:
		difference = l.settlePair(now, at, difference, n)
	case quota:
		difference = l.settleQuota(at, difference)
	}
	l.total += difference
}

// empty reports whether nothing is counted at now.
func (l ledger) empty(now int64) bool {
	if l.total > 0 && now >= l.edge {
		l.roll(now)
	}
	return l.total == 0
}

// status fills in what a client is told at now. Written for the straight line
// of Window.quick: s is 0 but for segments.
func (c *count) status(s *shape, now, n int64, st *Status) {
	st.Remaining = max(n-c.total, 0)
	if c.total > 0 && c.edge != never {
		st.Reset = time.Duration(c.edge + (s.k-int64(c.age))*s.s - now)
	}
}
