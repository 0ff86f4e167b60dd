package limiter

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

const (
	shortSubject = 20  // bytes of the longest subject that fits in a bucket
	longSubject  = 255 // the size of one that does not fit
	firstRings   = 2   // windows that fit in a bucket
)

// bucket is the state of one subject: one ring for each window length. The
// first rings belong to the limits under which it was last decided, in their
// order. Rings that no limit names any more may follow: they are not charged,
// and stay until they are empty, so that a plan that comes back finds its
// counts.
//
// It fills two cache lines, and a decision under two windows touches no others
// until a ring rolls on. mu guards everything but the subject, which never
// changes.
//
// Invariant: a bucket is either in the table of its shard or gone for good.
// Both change under the mutexes of the shard and of the bucket. A caller that
// waited for mu and finds the bucket gone looks it up again.
type bucket struct {
	mu    sync.Mutex
	size  uint8 // length of the subject, or longSubject
	n     uint8 // number of rings
	calls uint8 // since it last triggered a sweep
	gone  bool  // it has left its table: a slot or an old table may still point here
	name  [shortSubject]byte
	rings [firstRings]ring
	cells []byte
	more  *more
}

// more holds what only few buckets have.
type more struct {
	name  string // a subject that does not fit in the bucket; it never changes
	rings []ring // those after the first
	lease lease  // what the journal covers
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

func (b *bucket) ring(i int) *ring {
	if i < firstRings {
		return &b.rings[i]
	}
	return &b.more.rings[i-firstRings]
}

// count returns the number of rings.
func (b *bucket) count() int { return int(b.n) }

// leave marks the bucket gone and frees what a slot would keep alive.
func (b *bucket) leave() {
	b.gone, b.n, b.cells = true, 0, nil
	if b.more != nil {
		b.more.rings = nil
	}
}

// clone returns a copy of the counts that shares nothing with b and is not in a
// table.
func (b *bucket) clone() *bucket {
	c := &bucket{n: b.n, rings: b.rings, cells: append([]byte(nil), b.cells...)}
	if b.more != nil {
		c.more = &more{rings: append([]ring(nil), b.more.rings...)}
	}
	return c
}

// fits reports whether the first rings are those of the limits.
func (b *bucket) fits(limits []apikey.Limit) bool {
	if b.count() < len(limits) {
		return false
	}
	for i := range limits {
		if !b.ring(i).fits(&limits[i]) {
			return false
		}
	}
	return true
}

// check decides cost under the first len(st) rings at now and marks the windows
// that refuse it. retry is 0 if all admit it, otherwise the time after which
// all would, or Never.
func (b *bucket) check(cost, now int64, st []Status) (retry time.Duration) {
	for i := range st {
		r := b.ring(i)
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

// charge counts cost in the first n rings. check must have admitted it.
func (b *bucket) charge(cost int64, n int) {
	for i := range n {
		b.ring(i).add(uint32(cost))
	}
}

// report fills in the statuses of the first len(st) rings.
func (b *bucket) report(now int64, st []Status) {
	for i := range st {
		b.ring(i).status(now, &st[i])
	}
}

// idle reports whether nothing is counted at now.
func (b *bucket) idle(now int64) bool {
	for i := range b.count() {
		if !b.ring(i).empty(b.cells, now) {
			return false
		}
	}
	return true
}

// longest returns the length of the longest window and that of its segments.
func (b *bucket) longest() (length, segment time.Duration) {
	for i := range b.count() {
		if r := b.ring(i); r.length() > length {
			length, segment = r.length(), time.Duration(r.segment())
		}
	}
	return length, segment
}
