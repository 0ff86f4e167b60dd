package redisstore

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// The kinds of limits in limit.lua. Instants of a window of at most 2^32
// microseconds take four bytes each, those of a longer one six.
const (
	segmented    = 1
	instants     = 2
	longInstants = 3
	quota        = 4
	concurrent   = 5

	inShadow = 16
	notAsked = 32
)

const (
	mostInstants = 128    // the N up to which a window keeps instants
	forever      = 9e15   // when a quota of apikey.Ever ends, in µs
	mostCost     = 4e15   // numbers above are not told apart: Lua's are exact up to 9e15
	rulesKept    = 10_000 // before those that nobody uses may go
)

// rule is a limit as the script wants it.
type rule struct {
	id       uint64 // 48 bits of a digest of what makes limits the same
	kind     byte
	n        int64
	unit, k  int64 // of a window: length of a cell in µs, and how many count
	calendar *calendar
	limit    apikey.Limit
}

// rules remembers those of limits, because a digest and the calendar of a time
// zone take longer than a decision.
type rules struct {
	known sync.Map // apikey.Limit to *rule
	n     atomic.Int64
}

func (rs *rules) of(l apikey.Limit) (*rule, error) {
	if r, ok := rs.known.Load(l); ok {
		return r.(*rule), nil
	}
	r, err := newRule(l)
	if err != nil {
		return nil, err
	}
	if rs.n.Add(1) > rulesKept {
		rs.known.Clear()
		rs.n.Store(1)
	}
	rs.known.Store(l, r)
	return r, nil
}

func newRule(l apikey.Limit) (*rule, error) {
	named := l
	if named.Name == "" {
		named.Name = "-"
	}
	if err := named.Validate(); err != nil {
		return nil, fmt.Errorf("%w: redisstore: %w", limiter.ErrInvalid, err)
	}
	r := &rule{n: l.N, limit: l}
	text := "latchkey limit\n" + l.Name + "\n"
	switch {
	case l.Concurrent:
		r.kind = concurrent
		text += "concurrent"
	case l.Period != "":
		r.kind, r.calendar = quota, &calendar{limit: l}
		text += "period " + string(l.Period) + " " + l.Zone
	default:
		window := l.Window.Microseconds()
		text += fmt.Sprint("window ", int64(l.Window/time.Second))
		switch {
		case l.N > mostInstants:
			segments := int64(60)
			if l.Window > time.Hour {
				segments = 144
			}
			r.kind, r.unit, r.k = segmented, (window+segments-1)/segments, segments+1
		case window < 1<<32:
			r.kind, r.unit, r.k = instants, 1, window
		default:
			r.kind, r.unit, r.k = longInstants, 1, window
		}
	}
	sum := sha256.Sum256([]byte(text))
	r.id = binary.BigEndian.Uint64(sum[:]) >> 16
	return r, nil
}

// calendar knows the ends of a quota's periods around now.
type calendar struct {
	limit apikey.Limit
	known atomic.Pointer[periods]
}

// periods are the one that contains now, the one before and the one after it, in
// microseconds since 1970.
type periods struct{ before, from, end, next int64 }

func (c *calendar) around(t time.Time) (p periods, err error) {
	if c.limit.Period == apikey.Ever {
		return periods{0, 0, forever, forever}, nil
	}
	now := t.UnixMicro()
	if known := c.known.Load(); known != nil && known.from <= now && now < known.end {
		return *known, nil
	}
	from, end, err := c.limit.Span(t)
	if err != nil {
		return p, err
	}
	before, _, err := c.limit.Span(from.Add(-1))
	if err != nil {
		return p, err
	}
	_, next, err := c.limit.Span(end)
	if err != nil {
		return p, err
	}
	p = periods{before.UnixMicro(), from.UnixMicro(), end.UnixMicro(), next.UnixMicro()}
	c.known.Store(&p)
	return p, nil
}

// endOf returns the end of the period that contains an instant.
func (c *calendar) endOf(at int64) (int64, error) {
	if c.limit.Period == apikey.Ever {
		return forever, nil
	}
	if p := c.known.Load(); p != nil && p.before <= at {
		for _, end := range []int64{p.from, p.end, p.next} {
			if at < end {
				return end, nil
			}
		}
	}
	_, end, err := c.limit.Span(time.UnixMicro(at))
	return end.UnixMicro(), err
}
