package apikey

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// meter collects the credentials that were counted in since the last flush, so that
// a flush costs what was used and a request costs no write.
type meter struct {
	mu    sync.Mutex
	dirty []*credential
	owed  map[usageKey]UsageDelta // taken from cells, not yet in the store; guarded by Service.flushing
	taken time.Time               // when the cells of the last flush that was written were read; guarded likewise
}

type usageKey struct {
	keyID  string
	secret uint32
	hour   int64
}

// maxOwed bounds what is kept for a store that does not take usage.
const maxOwed = 1 << 20

var noAddr netip.Addr

func (m *meter) count(c *credential, o Outcome, source netip.Addr, userAgent string) {
	if o == OutcomeAllowed {
		c.allowed.Add(1)
		if c.last.Load() == nil {
			c.last.Store(&LastUse{At: now(), Network: network(source), UserAgent: clip(userAgent, 128)})
		}
	} else {
		c.refused[o].Add(1)
	}
	if !c.dirty.Load() && !c.dirty.Swap(true) {
		m.mu.Lock()
		m.dirty = append(m.dirty, c)
		m.mu.Unlock()
	}
}

// network hides the host part of an address: /24 of IPv4, /48 of IPv6.
func network(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits)
	return p.String()
}

// clip returns a copy of at most n bytes, as UTF-8 without control characters.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s[:min(len(s), n)], "")
	return strings.Clone(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}

// collect moves the counts of the credentials to m.owed; the caller holds
// flushing.
func (m *meter) collect(at time.Time) {
	m.mu.Lock()
	used := m.dirty
	m.dirty = nil
	m.mu.Unlock()
	if m.owed == nil {
		m.owed = make(map[usageKey]UsageDelta)
	}
	hour := at.Truncate(time.Hour)
	for _, c := range used {
		c.dirty.Store(false) // before the counts: what comes now lists it again
		keyID, secret := c.snap.id, c.principal.secret
		d := UsageDelta{KeyID: keyID, Secret: secret, Hour: hour}
		for o := range c.refused {
			d.Counts[o] = c.refused[o].Swap(0)
		}
		d.Counts[OutcomeAllowed] = c.allowed.Swap(0)
		if last := c.last.Swap(nil); last != nil {
			d.Last = *last
		}
		k := usageKey{keyID, secret, hour.Unix()}
		if owed, ok := m.owed[k]; ok {
			d.Counts.Add(owed.Counts)
			if owed.Last.At.After(d.Last.At) {
				d.Last = owed.Last
			}
		} else if len(m.owed) >= maxOwed {
			continue // the store has not taken usage for long: flushLoop says so
		}
		m.owed[k] = d
	}
}

// flush writes all usage counted so far. What the store does not take is kept
// for the next flush.
func (s *Service) flush(ctx context.Context) error { return s.flushUnless(ctx, 0) }

// joinFlushes is how old usage may be in what shows many keys. Whoever asks
// often, or many at once, share a flush: reading does not become writing.
const joinFlushes = time.Second

// flushUnless is flush, unless what is in the store is younger than age.
func (s *Service) flushUnless(ctx context.Context, age time.Duration) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	began := time.Now()
	if !s.meter.taken.IsZero() && began.Sub(s.meter.taken) < age {
		return nil
	}
	s.meter.collect(now())
	if len(s.meter.owed) == 0 {
		s.meter.taken = began
		return nil
	}
	batch := make([]UsageDelta, 0, len(s.meter.owed))
	for _, d := range s.meter.owed {
		batch = append(batch, d)
	}
	if err := s.store.AddUsage(ctx, batch); err != nil {
		return storeError("usage", err)
	}
	clear(s.meter.owed)
	s.meter.taken = began
	return nil
}

func (s *Service) flushLoop() {
	tick := time.NewTicker(s.o.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stopped.Done():
			return
		case <-tick.C:
		}
		if err := s.flush(s.stopped); err != nil && s.stopped.Err() == nil {
			s.log.Warn("usage was not written and will be tried again", "error", err)
		}
	}
}

// Usage returns what was counted for a key at and after since, this process's
// counts up to now included.
func (s *Service) Usage(ctx context.Context, id string, since time.Time) (Usage, error) {
	if err := s.enter(); err != nil {
		return Usage{}, err
	}
	defer s.leave()
	return s.usage(ctx, id, since)
}

func (s *Service) usage(ctx context.Context, id string, since time.Time) (Usage, error) {
	if err := s.flush(ctx); err != nil {
		return Usage{}, err
	}
	u, err := s.store.Usage(ctx, id, since)
	return u, storeError("usage", err)
}
