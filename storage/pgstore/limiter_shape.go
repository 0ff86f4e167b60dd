package pgstore

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// mostExact is the largest N of a window that keeps instants.
const mostExact = 128

// never is the instant at which the charges of an endless quota leave.
const never = math.MaxInt64

// shape is how the server counts for a limit.
type shape struct {
	id    int64
	code  int64
	terms [4]int64 // when what is charged leaves: described at the function limit_use
	keep  int64    // how long a charge may count
}

// codes are the shapes of quotas, and how long a charge counts in them at most.
var codes = map[apikey.Period]struct {
	code int64
	keep time.Duration
}{
	apikey.Hourly:  {-1, 3 * time.Hour},
	apikey.Daily:   {-2, 27 * time.Hour},
	apikey.Monthly: {-3, 32 * 24 * time.Hour},
	apikey.Ever:    {-4, 200 * 365 * 24 * time.Hour},
}

const concurrent = -5

func (l *Limiter) shapeOf(limit apikey.Limit) (s shape, err error) {
	switch {
	case limit.Window > 0:
		seconds := int64(limit.Window / time.Second)
		s.code = 2 * seconds
		step, stays := segments(limit.Window)
		if limit.N <= mostExact {
			s.code++
			step, stays = 1, int64(limit.Window)
		}
		s.terms = [4]int64{step, stays}
		s.keep = step * stays
		s.id = idOf(limit.Name, 2*seconds, "")
	case limit.Concurrent:
		s.code, s.keep = concurrent, int64(l.slots.life)
		s.id = idOf(limit.Name, concurrent, "")
	default:
		c := codes[limit.Period]
		s.code, s.keep = c.code, int64(c.keep)
		if limit.Period == apikey.Ever {
			limit.Zone = ""
		} else if s.terms, err = l.periods.around(limit, l.now()); err != nil {
			return s, err
		}
		s.id = idOf(limit.Name, s.code, limit.Zone)
	}
	return s, nil
}

// segments returns the length of a window's segments, and how many of them a
// charge counts: its own, and those of the window.
func segments(window time.Duration) (length, n int64) {
	k := int64(144)
	if window <= time.Hour {
		k = 60
	}
	return (int64(window) + k - 1) / k, k + 1
}

// idOf identifies a limit on its subject. Ids are below -1<<62, where neither
// numbers of slots nor lengths of windows are.
func idOf(name string, code int64, zone string) int64 {
	b := make([]byte, 0, 128)
	b = binary.BigEndian.AppendUint64(b, uint64(code))
	b = append(append(append(b, name...), 0), zone...)
	sum := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(sum[:])>>2 | 1<<63)
}

// leaves returns when a charge of an instant leaves: a window that keeps
// instants, and a limit that counts in another way.
func (x *asked) leaves(at int64) (exact, other int64, err error) {
	switch {
	case x.Window > 0:
		s, n := segments(x.Window)
		return at + int64(x.Window), (at/s + n) * s, nil
	case x.Period == apikey.Ever:
		return never, never, nil
	}
	for i, end := range x.terms[1:] {
		if x.terms[i] <= at && at < end {
			return end, end, nil
		}
	}
	_, end, err := x.Span(time.Unix(0, at))
	return end.UnixNano(), end.UnixNano(), err
}

// periods remembers the ends of the periods around now, for each period and
// zone: to find them takes much longer than a decision.
type periods struct {
	mu   sync.RWMutex
	ends map[calendar][4]int64
}

type calendar struct {
	period apikey.Period
	zone   string
}

// around returns the ends of four periods: from the last but one before at to
// the next after that of at.
func (p *periods) around(limit apikey.Limit, at time.Time) ([4]int64, error) {
	c := calendar{limit.Period, limit.Zone}
	now := at.UnixNano()
	p.mu.RLock()
	ends, known := p.ends[c]
	p.mu.RUnlock()
	if known && ends[1] <= now && now < ends[2] {
		return ends, nil
	}
	from, end, err := limit.Span(at)
	if err != nil {
		return ends, err
	}
	before, _, err := limit.Span(from.Add(-1))
	if err != nil {
		return ends, err
	}
	_, next, err := limit.Span(end)
	if err != nil {
		return ends, err
	}
	ends = [4]int64{before.UnixNano(), from.UnixNano(), end.UnixNano(), next.UnixNano()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ends == nil {
		p.ends = map[calendar][4]int64{}
	}
	p.ends[c] = ends
	return ends, nil
}
