package engine

import (
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
	"github.com/wontopos/latchkey/storage"
)

// meter lists the credentials that were counted since the last flush, so that
// the cost of a flush depends on what was used and a request costs no write.
type meter struct {
	mu        sync.Mutex
	dirty     []*credential
	ended     []*Sample    // those that ended after they were collected
	withdrawn []Withdrawal // those that were collected before they were recounted
}

// Withdrawal turns a request that was collected as admitted into a refusal.
type Withdrawal struct {
	KeyID  string
	Secret uint32

	as   outcome
	last time.Time // of that request, if it is the last use; otherwise zero
}

// From makes the change in what was collected of the key, and reports whether
// the request was there.
func (w *Withdrawal) From(d *storage.UsageDelta) bool {
	if d.Secret != w.Secret || d.Counts.Allowed == 0 {
		return false
	}
	if !w.last.IsZero() && d.Last.At.Equal(w.last) {
		d.Last = apikey.LastUse{}
	}
	d.Counts.Allowed--
	*d.Counts.Fields()[w.as]++
	return true
}

func (m *meter) count(c *credential, o outcome, used uint64, u *Use) *Sample {
	if o != allowed {
		c.refused[o-1].Add(1)
		m.list(c)
		return nil
	}
	n := c.allowed.Add(1)
	c.mark(used)
	if n&sampled != 0 {
		if n&listed == 0 {
			m.listNew(c)
		}
		return nil
	}
	s := newSample(c, u)
	if !c.last.CompareAndSwap(nil, s) {
		s = nil
	}
	m.listSampled(c)
	return s
}

// takeLast returns the last use, and makes room for the next.
func (c *credential) takeLast() *Sample {
	last := c.last.Swap(nil)
	if c.allowed.Load()&sampled != 0 {
		c.allowed.And(^uint64(sampled))
	}
	return last
}

// recount turns the count of a request as admitted into the refusal o. If that
// count has already been collected, the caller of Collect has it.
func (m *meter) recount(c *credential, o outcome, s *Sample) {
	if s != nil {
		s.ignoreEnd()
		if c.last.CompareAndSwap(s, nil) {
			c.allowed.And(^uint64(sampled))
			s = nil
		}
	}
	for n := c.allowed.Load(); s == nil && n&counted > 0; n = c.allowed.Load() {
		if c.allowed.CompareAndSwap(n, n-1) {
			c.refused[o-1].Add(1)
			m.list(c)
			return
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	w := Withdrawal{KeyID: c.snap.key.ID, Secret: c.principal.Secret(), as: o}
	if s != nil {
		w.last = s.used()
	}
	m.withdrawn = append(m.withdrawn, w)
}

// TakeWithdrawn returns what is to be withdrawn since it was last called. Call it
// before [Engine.Collect]: the counts are then in what is collected, or were
// before.
func (eng *Engine) TakeWithdrawn() []Withdrawal {
	m := &eng.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.withdrawn
	m.withdrawn = nil
	return all
}

// list adds c to the list to be collected. Call it after counting: if c is
// already listed, its next collection has yet to read the count.
func (m *meter) list(c *credential) {
	if c.allowed.Load()&listed == 0 {
		m.listNew(c)
	}
}

func (m *meter) listNew(c *credential) { m.listAs(c, listed) }

// listSampled is list, and makes sampled true if there is a last use, whoever
// takes that away meanwhile: they clear sampled afterwards. Where it is not set
// and should be, the next request makes a sample in vain, and sets it.
func (m *meter) listSampled(c *credential) {
	m.listAs(c, listed|sampled)
	if c.last.Load() == nil {
		c.allowed.And(^uint64(sampled))
	}
}

func (m *meter) listAs(c *credential, bits uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.allowed.Or(bits)&listed == 0 {
		m.dirty = append(m.dirty, c)
	}
}

// scopeUses tells a credential which scopes a handler asked for.
type scopeUses credential

func (u *scopeUses) UseScope(i int) { (*credential)(u).mark(1 << (uint(i) % apikey.MaxScopes)) }

// mark records scopes that let a request through, once per flush.
func (c *credential) mark(used uint64) {
	if used&^uint64(c.marks.Load()&markedScopes) != 0 {
		c.markNew(used)
	}
}

func (c *credential) markNew(used uint64) {
	low, high := uint32(used&markedScopes), used&^markedScopes
	if c.marks.Load()&low == low && c.used.Load()&high == high {
		return
	}
	c.marks.Or(low)
	c.used.Or(high)
	c.terms.engine.meter.list(c)
}

// takeUsed returns the granted scopes that were used since it was last called.
func (c *credential) takeUsed() (scopes []string) {
	used := uint64(c.marks.And(^uint32(markedScopes))&markedScopes) | c.used.Swap(0)
	for i, scope := range c.terms.scopes {
		if used&(1<<(uint(i)%apikey.MaxScopes)) != 0 {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// Counted returns how many secrets were counted since Collect was last called.
func (eng *Engine) Counted() int {
	eng.meter.mu.Lock()
	defer eng.meter.mu.Unlock()
	return len(eng.meter.dirty)
}

// Collect calls owe with what was counted since it was last called. It must not
// be called concurrently: counts that it has read are not stored anywhere else.
func (eng *Engine) Collect(owe func(storage.UsageDelta)) {
	m, at := &eng.meter, bounds.Now()
	m.mu.Lock()
	used, ended := m.dirty, m.ended
	m.dirty, m.ended = make([]*credential, 0, len(used)), nil // about as many as the last time
	m.mu.Unlock()
	hour := at.Truncate(time.Hour)
	for _, s := range ended {
		owe(storage.UsageDelta{KeyID: s.credential.snap.key.ID, Secret: s.credential.principal.Secret(), Hour: time.Unix(s.hour, 0).UTC(), Last: s.lastUse()})
	}
	for _, c := range used {
		allowed := c.allowed.Swap(0) // before the other counts: a later one lists it again
		last := c.takeLast()
		d := storage.UsageDelta{KeyID: c.snap.key.ID, Secret: c.principal.Secret(), Hour: hour, Scopes: c.takeUsed()}
		counts := d.Counts.Fields()
		for i := range c.refused {
			*counts[i+1] = uint64(c.refused[i].Swap(0))
		}
		d.Counts.Allowed = allowed & counted
		if last != nil {
			last.hour = hour.Unix()
			d.Last = last.lastUse()
		}
		owe(d)
	}
}
