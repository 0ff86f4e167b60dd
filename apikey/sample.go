package apikey

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// Use is what is known of an admitted request when it is counted. Nothing of it
// is kept but the network of the source (/24 or /48), and copies of at most 128
// bytes of the texts, without control characters and secrets ([Service.Redact]).
type Use struct {
	Source    netip.Addr
	UserAgent string
	// Route names what was asked, for example "GET /v1/apis/{id}"; empty when
	// that is not known yet. See [Sample.Ended].
	Route string
}

// Sample is the one admitted request of a secret between two flushes that its
// [LastUse] tells of. It may be kept for as long as the request takes.
type Sample struct {
	credential *credential
	use        LastUse   // as far as it was known at first
	hour       time.Time // that it was written down in; guarded by outbox.mu
	end        atomic.Pointer[sampleEnd]
}

type sampleEnd struct {
	route  string
	status int
}

func newSample(c *credential, u *Use) *Sample {
	s := &Sample{credential: c, use: LastUse{At: now()}}
	if u != nil {
		s.use.Network, s.use.UserAgent, s.use.Route = network(u.Source), s.text(u.UserAgent), s.text(u.Route)
	}
	return s
}

// Ended tells how the request ended: what was asked, if more is known of that
// than before, or "", and the final status of the response, 0 when it is not
// known. A request that takes longer than a flush gives both later, if its use is
// still the last one. Only the first call counts. A nil or zero Sample takes no notice.
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
	// The end is published before last is looked at; a flush takes the sample
	// from there before it looks at the end: one of the two sees the other.
	if s.credential.last.Load() != s {
		m := s.credential.snap.terms.service.meter
		m.mu.Lock()
		m.ended = append(m.ended, s)
		m.mu.Unlock()
	}
}

// text makes a client's word one that may be written down: at most 128 bytes, without secrets. What is longer is cut
// twice, so that the start of a secret does not stay where the rest of it was cut off.
func (s *Sample) text(word string) string {
	const most = 128
	return clip(s.credential.snap.terms.service.Redact(word[:min(len(word), 4*most)]), most)
}

// lastUse returns all that is known now.
func (s *Sample) lastUse() LastUse {
	u := s.use
	if end := s.end.Load(); end != nil {
		u.Route, u.Status = end.route, end.status
	}
	return u
}
