package limiter

import (
	"github.com/wontopos/latchkey/apikey"
)

// adopt makes room for limits, which must be valid and not all known. They come
// first. Limits that stay keep their counts, and new ones start from zero. What
// counts and is not named stays behind them. The journal's reservation was made
// for the old limits, so it ends.
func (b *bucket) adopt(known *layouts, limits []apikey.Limit, now int64) error {
	var shapes []shape
	var from []int // index of the count to go on with, -1 for none
	taken := uint64(0)
	for i := range limits {
		old := b.previous(&limits[i], taken)
		if old >= 0 {
			taken |= 1 << old
		}
		shapes, from = append(shapes, newShape(&limits[i])), append(from, old)
	}
	for i := range b.counts() {
		if taken&(1<<i) == 0 && !b.ledger(i).empty(now) {
			shapes, from = append(shapes, b.layout.shapes[i]), append(from, i)
		}
	}
	if len(shapes) > mostCounts {
		return invalidf("more than %d limits are in use on a subject", mostCounts)
	}
	was := b.clone()
	b.hold(known.of(shapes), make([]count, len(shapes)))
	for i, old := range from {
		n, next := int64(1), b.ledger(i)
		if i < len(limits) {
			n = limits[i].N
		}
		if *next.count = newCount(next.shape, now); old >= 0 {
			next.takeOver(was.ledger(old), now, n)
		}
	}
	if b.more != nil {
		b.more.lease.left = nil
	}
	return nil
}

// previous returns the index of the count that the limit goes on with: its own,
// or the first one without a name that is like it.
func (b *bucket) previous(l *apikey.Limit, taken uint64) int {
	nameless := -1
	for i := range b.counts() {
		s := &b.layout.shapes[i]
		switch {
		case taken&(1<<i) != 0:
		case s.same(l):
			return i
		case nameless < 0 && s.name == anyName && s.alike(l):
			nameless = i
		}
	}
	return nameless
}

// takeOver makes an empty count go on where another has stopped. Hits of a
// segment become pairs at the latest time that they can have had.
func (l ledger) takeOver(old ledger, now, n int64) {
	if l.kind == old.kind {
		cells := append([]byte(nil), old.cells()...)
		copy(l.b.resize(l.i, len(cells)), cells)
		*l.count = *old.count
		return
	}
	old.roll(now)
	if old.kind == segments {
		all := old.segmentList()
		for i := range all {
			begin := all[i].at
			all[i].at = max(begin, min(begin+old.s-1, now))
		}
		l.write(all, n)
		l.total = old.total
		return
	}
	all := old.pairList()
	if len(all) > 0 {
		*l.count = newCount(l.shape, max(now, all[len(all)-1].at))
	}
	l.fillSegments(all)
}

// checkLimits reports limits out of bounds. It runs when a subject is used with
// limits under which it has not been decided before.
func checkLimits(limits []apikey.Limit) error {
	for i := range limits {
		l := limits[i]
		for _, o := range limits[:i] {
			if l.Same(o) {
				return invalidf("limits %d and %d of a demand are the same: %q", i, i, l.Name)
			}
		}
		if l.Name == "" { // it may be
			l.Name = "unnamed"
		}
		if err := l.Validate(); err != nil {
			return invalidf("limit %q: %v", l.Name, err)
		}
	}
	return nil
}

// validUnit reports what Validate would about the unit of a limit whose shape is
// known.
func validUnit(l *apikey.Limit) bool {
	for _, c := range []byte(l.Unit) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(l.Unit) <= 32 && !l.Concurrent
}
