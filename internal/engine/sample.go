package engine

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// Use is what is known about an admitted request when it is counted. Only the
// network of the source (/24 or /48) is kept, and copies of the texts of at
// most 128 bytes, without control characters and secrets.
type Use struct {
	Source    netip.Addr
	UserAgent string
	// Method and Route name what was asked for, for example "GET" and
	// "/v1/apis/{id}". A Route may contain its method; then Method is empty. An empty
	// Route is not known yet: see [Sample.Ended].
	Method, Route string
}

// Sample is the one admitted request of a secret, between two flushes, that its
// [apikey.LastUse] describes. It may be kept for as long as the request takes.
//
// With many keys in use, every second request or so is the first of its secret
// since a flush. So a Sample is one allocation, its texts are shared with
// others, and the source becomes a text only when it is collected.
type Sample struct {
	credential *credential
	at         int64 // Unix microseconds
	hour       int64 // in which it was recorded, in Unix seconds; Collect's
	userAgent  string
	route      string // as far as it was known at first
	endRoute   string // final once end says hasEnded
	source     source
	end        atomic.Uint32 // 0, isEnding, or hasEnded plus the status
}

const (
	isEnding = 1 << iota << 10 // somebody has reported the end; above all statuses
	hasEnded                   // and it can be read
)

func newSample(c *credential, u *Use) *Sample {
	s := &Sample{credential: c, at: time.Now().UnixMicro()}
	if u != nil {
		s.source = sourceOf(u.Source)
		s.userAgent, s.route = s.text("", u.UserAgent), s.text(u.Method, u.Route)
	}
	return s
}

// Ended reports how the request ended: method and route, if more is known than
// before, or an empty route, and the final status of the response, or 0 if it
// is not known. If a request takes longer than a flush, both are added later,
// provided that its use is still the last one. Only the first call counts. Ended
// does nothing on a nil or zero Sample.
func (s *Sample) Ended(method, route string, status int) {
	if s == nil || s.credential == nil || !s.end.CompareAndSwap(0, isEnding) {
		return
	}
	if s.endRoute = s.text(method, route); s.endRoute == "" {
		s.endRoute = s.route
	}
	if status < 100 || status > 999 {
		status = 0
	}
	s.end.Store(hasEnded | uint32(status))
	// The end is published before last is read; a flush takes the sample from last
	// before it reads the end: at least one of the two sees the other.
	if s.credential.last.Load() != s {
		m := &s.credential.terms.engine.meter
		m.mu.Lock()
		m.ended = append(m.ended, s)
		m.mu.Unlock()
	}
}

// ignoreEnd makes Ended do nothing from now on.
func (s *Sample) ignoreEnd() { s.end.CompareAndSwap(0, isEnding) }

// text makes a client's words safe to store: see [texts.clean].
func (s *Sample) text(method, what string) string {
	eng := s.credential.terms.engine
	return eng.texts.clean(method, what, eng.o.Redact)
}

// used returns when the request was counted, as it is written into records.
func (s *Sample) used() time.Time { return time.UnixMicro(s.at).UTC() }

// lastUse returns everything that is known now.
func (s *Sample) lastUse() apikey.LastUse {
	texts := &s.credential.terms.engine.texts
	u := apikey.LastUse{At: s.used(), Network: s.source.network(texts), UserAgent: s.userAgent, Route: s.route}
	if end := s.end.Load(); end&hasEnded != 0 {
		u.Route, u.Status = s.endRoute, int(end&^hasEnded)
	}
	return u
}

// source is an address without its host part: the /24 of IPv4, the /48 of IPv6.
type source struct {
	prefix [6]byte
	bits   uint8 // 24 or 48; 0 is not known
}

func sourceOf(a netip.Addr) (s source) {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		copy(s.prefix[:3], b[:])
		s.bits = 24
	} else if a.IsValid() {
		b := a.As16()
		copy(s.prefix[:], b[:])
		s.bits = 48
	}
	return s
}

// network returns the source as a text, such as 10.0.0.0/24.
func (s source) network(t *texts) string {
	var a netip.Addr
	switch s.bits {
	case 0:
		return ""
	case 24:
		a = netip.AddrFrom4([4]byte(s.prefix[:4]))
	default:
		var b [16]byte
		copy(b[:], s.prefix[:])
		a = netip.AddrFrom16(b)
	}
	var room [64]byte
	return t.shared(netip.PrefixFrom(a, int(s.bits)).AppendTo(room[:0]))
}
