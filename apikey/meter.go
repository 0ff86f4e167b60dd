package apikey

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// meter collects the credentials that were counted in since the last flush, so that
// a flush costs what was used and a request costs no write.
type meter struct {
	mu    sync.Mutex
	dirty []*credential
	ended []*Sample               // whose end came after their flush
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

func (m *meter) count(c *credential, o Outcome, used ScopeSet, u *Use) *Sample {
	if o != OutcomeAllowed {
		c.refused[o-1].Add(1)
		m.list(c)
		return nil
	}
	c.allowed.Add(1)
	c.mark(used)
	if c.last.Load() != nil {
		return nil // and c is listed, or about to be, by the request that is there
	}
	s := newSample(c, u)
	if !c.last.CompareAndSwap(nil, s) {
		return nil
	}
	m.list(c)
	return s
}

// list has c collected by the next flush. It comes after what was counted.
func (m *meter) list(c *credential) {
	if !c.listed.Load() && !c.listed.Swap(true) {
		m.mu.Lock()
		m.dirty = append(m.dirty, c)
		m.mu.Unlock()
	}
}

// mark notes scopes that let a request through, once a flush.
func (c *credential) mark(used ScopeSet) {
	if used&^ScopeSet(c.used.Load()) != 0 {
		c.markNew(used)
	}
}

func (c *credential) markNew(used ScopeSet) {
	low, high := uint32(used), uint32(used>>32)
	if c.used.Load()&low == low && c.usedHigh.Load()&high == high {
		return
	}
	c.used.Or(low)
	c.usedHigh.Or(high)
	c.snap.terms.service.meter.list(c)
}

// takeUsed returns the granted scopes that were used since it was last called.
func (c *credential) takeUsed() (scopes []string) {
	used := ScopeSet(c.used.Swap(0)) | ScopeSet(c.usedHigh.Swap(0))<<32
	for i, scope := range c.snap.terms.scopes {
		if used&place(i) != 0 {
			scopes = append(scopes, scope)
		}
	}
	return scopes
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

// clip returns a copy of at most n bytes, as UTF-8 without control characters,
// those that turn the direction of a text included.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s[:min(len(s), n)], "")
	return strings.Clone(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s))
}

// collect moves the counts of the credentials to m.owed; the caller holds
// flushing.
func (m *meter) collect(at time.Time) {
	m.mu.Lock()
	used, ended := m.dirty, m.ended
	m.dirty, m.ended = nil, nil
	m.mu.Unlock()
	if m.owed == nil {
		m.owed = make(map[usageKey]UsageDelta)
	}
	hour := at.Truncate(time.Hour)
	for _, s := range ended {
		m.owe(UsageDelta{KeyID: s.credential.snap.id, Secret: s.credential.principal.secret, Hour: s.hour, Last: s.lastUse()})
	}
	for _, c := range used {
		// Before the counts: what comes now lists it again.
		c.listed.Store(false)
		last := c.last.Swap(nil)
		d := UsageDelta{KeyID: c.snap.id, Secret: c.principal.secret, Hour: hour, Scopes: c.takeUsed()}
		for i := range c.refused {
			d.Counts[i+1] = c.refused[i].Swap(0)
		}
		d.Counts[OutcomeAllowed] = c.allowed.Swap(0)
		if last != nil {
			last.hour = hour
			d.Last = last.lastUse()
		}
		m.owe(d)
	}
}

// owe adds to what the store is to get; the caller holds flushing.
func (m *meter) owe(d UsageDelta) {
	k := usageKey{d.KeyID, d.Secret, d.Hour.Unix()}
	if owed, ok := m.owed[k]; ok {
		d.Counts.Add(owed.Counts)
		if !d.Last.Replaces(owed.Last) {
			d.Last = owed.Last
		}
		for _, scope := range owed.Scopes {
			if !slices.Contains(d.Scopes, scope) {
				d.Scopes = append(d.Scopes, scope)
			}
		}
	} else if len(m.owed) >= maxOwed {
		return // the store has not taken usage for long: flushLoop says so
	}
	m.owed[k] = d
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
