package limiter

import (
	"encoding/binary"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// layout lists the limits that a bucket counts. Subjects with the same limits
// share one, so a bucket holds only a small count for each. It never changes.
type layout struct {
	shapes []shape // no two are the same
}

// The ways to count.
const (
	segments uint8 = iota // a window above mostPairs
	pairs                 // a window of at most mostPairs
	quota
	slots
)

// shape is what identifies a limit on its subject, and how it is counted. N,
// Unit and Shadow are not part of it: each request brings its own.
type shape struct {
	window time.Duration
	least  int64  // the smallest N that is counted in this way
	span   uint64 // the largest, less the smallest
	k, s   int64  // segments: their number and length; otherwise 0
	name   string
	period apikey.Period
	zone   string
	kind   uint8
	stamp  uint8     // pairs: bytes of an instant
	begins *calendar // of a quota that begins again
}

// anyName is the name of windows that were stored without one. No limit has it.
const anyName = "\x00"

const (
	mostPairs     = 128
	shortSegments = 60  // of windows of up to an hour
	longSegments  = 144 // of longer ones: 10 minutes of a day
)

// newShape returns the shape of a limit, which must be valid. Its strings are
// not copied.
func newShape(l *apikey.Limit) shape {
	s := shape{window: l.Window, name: l.Name, period: l.Period, zone: l.Zone, least: 1}
	most := int64(apikey.MaxLimitN)
	switch {
	case l.Concurrent:
		s.kind, most = slots, apikey.MaxConcurrent
	case l.Period != "":
		s.kind, most = quota, apikey.MaxQuotaN
		if l.Period != apikey.Ever {
			s.begins = &calendar{limit: apikey.Limit{Name: l.Name, Period: l.Period, Zone: l.Zone}}
		}
	case l.N <= mostPairs:
		s.kind, most = pairs, mostPairs
		for s.stamp = 4; uint64(l.Window)>>(8*s.stamp) > 0; s.stamp++ {
		}
	default:
		s.least, s.k = mostPairs+1, longSegments
		if l.Window <= time.Hour {
			s.k = shortSegments
		}
		s.s = (int64(l.Window) + s.k - 1) / s.k
	}
	s.span = uint64(most - s.least)
	return s
}

// fits reports whether the shape is that of the limit, and its N within bounds.
func (s *shape) fits(l *apikey.Limit) bool {
	if l.Window != s.window || uint64(l.N-s.least) > s.span || l.Concurrent != (s.kind == slots) || l.Name != s.name {
		return false
	}
	if s.window != 0 { // spares two comparisons
		return len(l.Period)+len(l.Zone) == 0
	}
	return l.Period == s.period && l.Zone == s.zone
}

// same reports whether the shape is of the same limit, though it may count in
// another way.
func (s *shape) same(l *apikey.Limit) bool {
	return l.Name == s.name && s.alike(l)
}

// alike is same without the name.
func (s *shape) alike(l *apikey.Limit) bool {
	return l.Window == s.window && l.Concurrent == (s.kind == slots) && l.Period == s.period && l.Zone == s.zone
}

// layouts shares the layouts of a [Window]. What it forgets is only not shared
// any more.
type layouts struct {
	mu    sync.Mutex
	known map[string]*layout
}

const mostLayouts = 1024

// of returns the layout of the shapes. It copies what it keeps.
func (t *layouts) of(shapes []shape) *layout {
	var key []byte
	for i := range shapes {
		s := &shapes[i]
		key = append(key, s.kind)
		key = binary.AppendUvarint(key, uint64(s.window))
		for _, text := range []string{s.name, string(s.period), s.zone} {
			key = binary.AppendUvarint(key, uint64(len(text)))
			key = append(key, text...)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.known[string(key)]; l != nil {
		return l
	}
	if t.known == nil || len(t.known) >= mostLayouts {
		t.known = map[string]*layout{}
	}
	l := &layout{append([]shape(nil), shapes...)}
	for i := range l.shapes {
		s := &l.shapes[i]
		s.name, s.period, s.zone = cloned(s.name), apikey.Period(cloned(string(s.period))), cloned(s.zone)
		if s.begins != nil {
			s.begins = &calendar{limit: apikey.Limit{Name: s.name, Period: s.period, Zone: s.zone}}
		}
	}
	t.known[string(key)] = l
	return l
}

// cloned copies a string whose memory the caller may use again.
func cloned(s string) string { return string([]byte(s)) }

// calendar knows the periods of a quota. It remembers the newest, because
// finding it in the database of time zones is slow.
type calendar struct {
	limit apikey.Limit
	last  atomic.Pointer[interval]
}

// interval contains from, and not end.
type interval struct{ from, end int64 }

// period returns the one that contains t.
func (c *calendar) period(t int64) (interval, error) {
	if p := c.last.Load(); p != nil && p.from <= t && t < p.end {
		return *p, nil
	}
	from, end, err := c.limit.Span(time.Unix(0, t))
	if err != nil {
		return interval{}, err
	}
	p := interval{from.UnixNano(), end.UnixNano()}
	c.last.Store(&p)
	return p, nil
}

// never is later than any time.
const never = math.MaxInt64
