package engine

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
)

// Use is what is known about an admitted request when it is counted. Only the
// network of the source (/24 or /48) is kept, and copies of the texts of at
// most 128 bytes, without control characters and secrets .
type Use struct {
	Source    netip.Addr
	UserAgent string
	// Route names what was asked for, for example "GET /v1/apis/{id}"; empty if
	// that is not known yet. See [Sample.Ended].
	Route string
}

// Sample is the one admitted request of a secret, between two flushes, that its
// [apikey.LastUse] describes. It may be kept for as long as the request takes.
type Sample struct {
	credential *credential
	use        apikey.LastUse // as far as it was known at first
	hour       time.Time      // in which it was recorded; Collect's
	end        atomic.Pointer[sampleEnd]
}

type sampleEnd struct {
	route  string
	status int
}

func newSample(c *credential, u *Use) *Sample {
	s := &Sample{credential: c, use: apikey.LastUse{At: bounds.Now()}}
	if u != nil {
		s.use.Network, s.use.UserAgent, s.use.Route = network(u.Source), s.text(u.UserAgent), s.text(u.Route)
	}
	return s
}

// Ended reports how the request ended: route, if more is known about it than
// before, or "", and the final status of the response, or 0 if it is not known.
// If a request takes longer than a flush, both are added later, provided that
// its use is still the last one. Only the first call counts. Ended does nothing
// on a nil or zero Sample.
func (s *Sample) Ended(route string, status int) {
	if s == nil || s.credential == nil {
		return
	}
	if route = s.text(route); route == "" {
		route = s.use.Route
	}
	if status < 100 || status > 999 {
		status = 0
	}
	if !s.end.CompareAndSwap(nil, &sampleEnd{route, status}) {
		return
	}
	// The end is published before last is read; a flush takes the sample from last
	// before it reads the end: at least one of the two sees the other.
	if s.credential.last.Load() != s {
		m := &s.credential.snap.terms.engine.meter
		m.mu.Lock()
		m.ended = append(m.ended, s)
		m.mu.Unlock()
	}
}

// text makes a client's text safe to store: at most 128 bytes, without secrets. A longer text is truncated twice, so
// that truncating it does not leave an unrecognizable start of a secret.
func (s *Sample) text(word string) string {
	const most = 128
	return clip(s.credential.snap.terms.engine.o.Redact(word[:min(len(word), 4*most)]), most)
}

// lastUse returns everything that is known now.
func (s *Sample) lastUse() apikey.LastUse {
	u := s.use
	if end := s.end.Load(); end != nil {
		u.Route, u.Status = end.route, end.status
	}
	return u
}
