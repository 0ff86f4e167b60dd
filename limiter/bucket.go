package limiter

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

const (
	shortSubject = 19  // bytes of the longest subject that fits in a bucket
	longSubject  = 255 // the size of one that does not fit
	firstCounts  = 2   // counts that fit in a bucket
	// mostCounts is how many limits a subject may use at a time. Those of its
	// routes are among them.
	mostCounts = 64
	// fewCounts is how many are kept though they are empty: routes that take turns
	// then find theirs.
	fewCounts = 8
)

// bucket is the state of one subject: what each of the limits in its layout
// counts. Limits that no request names any more are not charged, and stay until
// they are empty, so that a plan that comes back finds its counts.
//
// It fills two cache lines, and a decision under two windows of segments touches
// no others, but for the layout, until a segment ends. mu guards everything but
// the subject, which never changes.
//
// Invariant: a bucket is either in the table of its shard or gone for good.
// Both change under the mutexes of the shard and of the bucket. A caller that
// waited for mu and finds the bucket gone looks it up again.
type bucket struct {
	mu     sync.Mutex
	layout *layout // nil: no limits yet
	first  [firstCounts]count
	cells  []byte
	more   *more
	lent   *apikey.Limit // the first of limits that fit the layout and never change; nil: none known
	lends  uint8         // how many there are
	size   uint8         // length of the subject, or longSubject
	calls  uint8         // since it last triggered a sweep
	gone   bool          // it has left its table: a slot or an old table may still point here
	name   [shortSubject]byte
}

// more holds what only few buckets have.
type more struct {
	name   string  // a subject that does not fit in the bucket; it never changes
	counts []count // those after the first
	lease  lease   // what the journal covers
}

// newBucket returns a bucket that is not in a table. The subject is copied: the
// caller may reuse its memory.
func newBucket(subject string, journaled bool) *bucket {
	b := new(bucket)
	if journaled || len(subject) > shortSubject {
		b.more = new(more)
	}
	if len(subject) > shortSubject {
		b.size, b.more.name = longSubject, strings.Clone(subject)
	} else {
		b.size = uint8(copy(b.name[:], subject))
	}
	return b
}

// named reports whether the bucket is the subject's. It needs no mutex.
func (b *bucket) named(subject string) bool {
	if b.size == longSubject {
		return b.more.name == subject
	}
	return string(b.name[:b.size]) == subject
}

func (b *bucket) subject() string {
	if b.size == longSubject {
		return b.more.name
	}
	return string(b.name[:b.size])
}

func (b *bucket) hash(seed maphash.Seed) uint64 {
	if b.size == longSubject {
		return maphash.String(seed, b.more.name)
	}
	return maphash.Bytes(seed, b.name[:b.size])
}

// lease returns what the journal covers, or nil without a journal.
func (b *bucket) lease() *lease {
	if b.more == nil {
		return nil
	}
	return &b.more.lease
}

func (b *bucket) count(i int) *count {
	if i < firstCounts {
		return &b.first[i]
	}
	return &b.more.counts[i-firstCounts]
}

// counts returns the number of counts.
func (b *bucket) counts() int {
	if b.layout == nil {
		return 0
	}
	return len(b.layout.shapes)
}

func (b *bucket) ledger(i int) ledger { return ledger{b.count(i), &b.layout.shapes[i], b, i} }

// offset returns where the cells of a count begin.
func (b *bucket) offset(i int) (off int) {
	for j := range i {
		off += b.count(j).size(&b.layout.shapes[j])
	}
	return off
}

// resize gives a count other cells, which are zero. The caller changes the width
// or room that they follow from.
func (b *bucket) resize(i, size int) []byte {
	off, old := b.offset(i), b.count(i).size(&b.layout.shapes[i])
	cells := make([]byte, len(b.cells)-old+size)
	copy(cells, b.cells[:off])
	copy(cells[off+size:], b.cells[off+old:])
	b.cells = cells
	return cells[off:][:size]
}

// hold replaces the counts. The cells are the caller's to fill.
func (b *bucket) hold(l *layout, counts []count) {
	b.layout, b.lent, b.cells, b.first = l, nil, nil, [firstCounts]count{}
	rest := counts[copy(b.first[:], counts):]
	if len(rest) > 0 && b.more == nil {
		b.more = new(more)
	}
	if b.more != nil {
		b.more.counts = append([]count(nil), rest...)
	}
}

// leave marks the bucket gone and frees what a slot would keep alive.
func (b *bucket) leave() {
	b.gone, b.layout, b.lent, b.cells = true, nil, nil, nil
	if b.more != nil {
		b.more.counts = nil
	}
}

// clone returns a copy of the counts that shares nothing with b and is not in a
// table.
func (b *bucket) clone() *bucket {
	c := &bucket{layout: b.layout, first: b.first, cells: append([]byte(nil), b.cells...)}
	if b.more != nil {
		c.more = &more{counts: append([]count(nil), b.more.counts...)}
	}
	return c
}

// find returns the index of the limit's count; -1 if there is none, or if N is
// out of the bounds that its way of counting has.
func (b *bucket) find(l *apikey.Limit) int {
	for i := range b.counts() {
		if b.layout.shapes[i].fits(l) {
			return i
		}
	}
	return -1
}

// index finds the counts of the limits. It reports whether it has found all, and
// no two limits are the same.
func (b *bucket) index(limits []apikey.Limit, at *[MaxWindows]uint8) bool {
	taken := uint64(0)
	for i := range limits {
		l := &limits[i]
		j := i // as a rule
		if i >= b.counts() || !b.layout.shapes[i].fits(l) {
			j = b.find(l)
		}
		if j < 0 || taken&(1<<j) != 0 || l.Unit != "" && !validUnit(l) {
			return false
		}
		taken |= 1 << j
		at[i] = uint8(j)
	}
	return true
}

// knows reports whether simple has compared the limits, which never change.
func (b *bucket) knows(limits []apikey.Limit) bool {
	return b.lent == &limits[0] && len(limits) <= int(b.lends)
}

// simple reports whether the limits are the first ones of the layout, and count
// requests at their cost.
func (b *bucket) simple(limits []apikey.Limit, fixed bool) bool {
	if b.layout == nil || len(limits) > len(b.layout.shapes) {
		return false
	}
	shapes := b.layout.shapes[:len(limits)]
	for i := range limits {
		l, s := &limits[i], &shapes[i]
		if l.Unit != "" || l.Shadow || l.Concurrent || !s.fits(l) {
			return false
		}
	}
	if fixed {
		b.lent, b.lends = &limits[0], uint8(len(limits))
	}
	return true
}

// idle reports whether nothing is counted at now.
func (b *bucket) idle(now int64) bool {
	for i := range b.counts() {
		if !b.ledger(i).empty(now) {
			return false
		}
	}
	return true
}

// memory returns for how long after now the journal must remember what is
// counted by then, and for how long a reservation of now may be used: up to the
// longest window, and not past the period of a quota.
func (b *bucket) memory(now int64) (counts, reservation time.Duration) {
	reservation = forAges
	longest := time.Duration(0)
	for i := range b.counts() {
		b.ledger(i).roll(now)
		c, s := b.count(i), &b.layout.shapes[i]
		switch {
		case s.window > 0:
			longest = max(longest, s.window)
			counts = max(counts, s.window+time.Duration(s.s))
		case s.begins != nil:
			left := time.Duration(c.edge - now)
			counts, reservation = max(counts, left), min(reservation, left)
		case s.kind == quota:
			counts = forAges
		}
	}
	if longest > 0 {
		reservation = min(reservation, longest)
	}
	return counts, reservation
}

// forAges is how long credits are remembered.
const forAges = 100 * 365 * 24 * time.Hour
