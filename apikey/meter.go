package apikey

import (
	"context"
	"net/netip"
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
	ended []*Sample // whose end came after they were collected

	// Guarded by Service.flushing.
	owed  map[string][]UsageDelta // by key: collected, and not yet in the store
	owing int                     // how many they are
	taken time.Time               // when they were last collected
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
	var s *Sample
	if c.last.Load() == nil {
		s = newSample(c, u)
		if !c.last.CompareAndSwap(nil, s) {
			s = nil
		}
	}
	m.list(c)
	return s
}

// list has c collected. It comes after what was counted: where c is listed
// already, whoever collects it next has yet to read the count.
func (m *meter) list(c *credential) {
	if !c.listed.Load() {
		m.listNew(c)
	}
}

func (m *meter) listNew(c *credential) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !c.listed.Load() {
		m.dirty = append(m.dirty, c)
		c.listed.Store(true)
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
func (m *meter) collect() {
	at := now()
	m.taken = time.Now()
	m.mu.Lock()
	used, ended := m.dirty, m.ended
	m.dirty, m.ended = nil, nil
	m.mu.Unlock()
	if m.owed == nil {
		m.owed = make(map[string][]UsageDelta)
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
	of := m.owed[d.KeyID]
	for i := range of {
		if of[i].Secret == d.Secret && of[i].Hour.Equal(d.Hour) {
			of[i].add(d)
			return
		}
	}
	if m.owing >= maxOwed {
		return // the store has not taken usage for long: flushLoop says so
	}
	m.owed[d.KeyID] = append(of, d)
	m.owing++
}

const (
	// flushPart is how many keys a store is given at a time: few enough that
	// nothing waits for long, for the processor or for what is owed.
	flushPart = 16
	// flushRest is how many times as long as it worked a flush rests, where there
	// is time for it.
	flushRest = 4
)

// flush writes all usage counted so far, within a time if the store is quick:
// a part at a time, with a rest after each, so that no request waits while
// thousands of keys are written. What the store does not take is kept for the
// next flush.
func (s *Service) flush(ctx context.Context, within time.Duration) error {
	s.flushing.Lock()
	s.meter.collect()
	left := (len(s.meter.owed) + flushPart - 1) / flushPart
	s.flushing.Unlock()
	for end := time.Now().Add(within); left > 0; left-- {
		began := time.Now()
		if err := s.flushSome(ctx); err != nil || left == 1 {
			return err
		}
		at := time.Now()
		took := at.Sub(began)
		rest := time.NewTimer(min(flushRest*took, end.Sub(at)/time.Duration(left-1)-took))
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// flushSome writes a part of what is owed.
func (s *Service) flushSome(ctx context.Context) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	m := s.meter
	var ids []string
	var batch []UsageDelta
	for id, of := range m.owed {
		if ids, batch = append(ids, id), append(batch, of...); len(ids) == flushPart {
			break
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := s.store.AddUsage(ctx, batch); err != nil {
		return storeError("usage", err)
	}
	for _, id := range ids {
		delete(m.owed, id)
	}
	m.owing -= len(batch)
	return nil
}

// counted reads from the store with what is owed to it beside it: together, all
// that was counted until age ago. Nothing is written for it: reading does not
// become writing.
func (s *Service) counted(age time.Duration, read func(owed map[string][]UsageDelta) error) error {
	s.flushing.RLock()
	fresh := time.Since(s.meter.taken) < age
	s.flushing.RUnlock()
	if !fresh {
		s.flushing.Lock()
		s.meter.collect()
		s.flushing.Unlock()
	}
	s.flushing.RLock() // until then nothing moves from what is owed to the store
	defer s.flushing.RUnlock()
	return read(s.meter.owed)
}

// collectEvery is how old counts may be in what shows many keys: whoever asks
// often, or many at once, collect them once.
const collectEvery = time.Second

func (s *Service) flushLoop() {
	tick := time.NewTicker(s.o.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stopped.Done():
			return
		case <-tick.C:
		}
		if err := s.flush(s.stopped, s.o.FlushEvery/2); err != nil && s.stopped.Err() == nil {
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

func (s *Service) usage(ctx context.Context, id string, since time.Time) (u Usage, err error) {
	err = s.counted(0, func(owed map[string][]UsageDelta) error {
		if u, err = s.store.Usage(ctx, id, since); err != nil {
			return storeError("usage", err)
		}
		for _, d := range owed[id] {
			u.add(d, since)
		}
		return nil
	})
	return u, err
}
