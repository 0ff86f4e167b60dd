package engine

import (
	"runtime"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Flight is one request in progress. Put it, by value, into the state that a
// transport keeps for a request; the zero value is ready to use. Between a
// successful [Verified.Enter] and Leave, anything that ends the key or its
// secret cuts the request. A Flight is used once.
type Flight struct {
	v          Verified
	cutter     Cutter  // a *ending once the request must end; guarded by the entry
	next, prev *Flight // guarded by the entry
}

// ending replaces the Cutter of a request that must end, so that all other
// requests carry no field for it.
type ending struct {
	v     Verified
	cause apikey.Code

	mu     sync.Mutex // held while cutter is called
	cutter Cutter     // nil if the request is over or severed
}

// Cutter is notified when a request in flight must end. Its methods are called
// at most once, from any goroutine, and never after Leave has returned. They
// must not block, and must not call Leave. A panic in one is logged, and the
// other requests are cut all the same.
type Cutter interface {
	// Cut tells the request to end, with a cause such as [apikey.RevokedKey]. It must be
	// quick: all requests of the key are told before the first is severed.
	Cut(cause error)
	// Sever is called after Cut and takes away what the request may be blocked on,
	// such as its connection.
	Sever()
}

// Enter registers a request before it is served, and reports whether the
// verdict that admitted it still holds. False means that the key has changed
// since Verify: verify again. The check and the registration are one step under
// the key's lock, and so is a change of the key, so no request slips through in
// between.
func (v Verified) Enter(f *Flight, c Cutter) bool {
	if v.credential == nil {
		return false
	}
	e := v.entry
	e.mu.Lock()
	if !v.holds() || v.has(timed) && !v.inTime(e) {
		e.mu.Unlock()
		return false
	}
	f.v, f.cutter = v, c
	if f.next = e.first; f.next != nil {
		f.next.prev = f
	}
	e.first = f
	e.mu.Unlock()
	return true
}

// holds reports whether the secret belongs to the key's snapshot; the entry is
// locked.
func (c *credential) holds() bool {
	current := c.entry.current.Load()
	return current == c || current != nil && current.snap == c.snap
}

// inTime reports whether the secret has not ended; e is locked. It sets the
// timer first and then reads the clock, which catches an end that has already
// come and that the timer therefore misses.
func (v Verified) inTime(e *entry) bool {
	if e.timer == nil {
		v.terms.engine.armTimer(e)
	}
	return v.refusal() == apikey.OK
}

// Verified returns the key with which the Flight entered; zero before Enter.
func (f *Flight) Verified() Verified { return f.v }

// Leave ends the registration, and reports why the request was cut: OK if it
// was not. After Leave has returned, the request is not cut any more. Leaving a
// Flight that never entered does nothing.
func (f *Flight) Leave() (cause apikey.Code) {
	if f.v.credential == nil {
		return apikey.OK
	}
	e := f.v.entry
	e.mu.Lock()
	f.unlink(e)
	s, ended := f.cutter.(*ending) // cutFlights cuts no others
	e.mu.Unlock()
	if !ended {
		return apikey.OK
	}
	s.mu.Lock() // waits for a running Cut
	s.cutter = nil
	s.mu.Unlock()
	return s.cause
}

// unlink removes f from its entry's list, unless it has already been removed,
// by Leave or end. The entry is locked.
func (f *Flight) unlink(e *entry) {
	switch {
	case f.prev != nil:
		f.prev.next = f.next
	case e.first == f:
		e.first = f.next
	default:
		return
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.next, f.prev = nil, nil
}

// end removes f from its entry's list, to be cut. The entry is locked.
func (f *Flight) end(e *entry, cause apikey.Code) *ending {
	s := &ending{v: f.v, cause: cause, cutter: f.cutter}
	f.cutter = s
	f.unlink(e)
	return s
}

// Cut tells the request to end, unless it is over.
func (s *ending) Cut(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cutter != nil {
		s.v.terms.engine.meter.count(s.v.credential, wasCut, 0, nil)
		_ = s.v.terms.engine.cutters.Safely(func() error { s.cutter.Cut(cause); return nil })
	}
}

// Sever ends a request that has been told to end, unless it is over.
func (s *ending) Sever() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cutter; c != nil {
		s.cutter = nil
		_ = s.v.terms.engine.cutters.Safely(func() error { c.Sever(); return nil })
	}
}

// Notice applies a change that the store announces. First the cache drops the
// key, so that no request is admitted by its old state; then the requests in
// flight that the change forbids are cut.
func (eng *Engine) Notice(n storage.Notice) {
	e := eng.invalidate(n)
	if e == nil {
		return
	}
	switch {
	case n.Deleted:
		eng.cutFlights(e, func(*Flight) apikey.Code { return apikey.RevokedKey })
		return
	case n.Record == nil: // the next request reads it; those in flight are judged then
		if eng.Enter() == nil {
			eng.workers.Go(func() { eng.reread(eng.stopped, n.ID) })
			eng.Leave()
		}
		return
	}
	eng.rejudge(e, &n.Record.Key, eng.cache.era.Load())
}

// older reports whether one state of a key is older than another: its history
// is older, or within the same history its revision is.
func older(era uint32, revision uint64, thanEra uint32, thanRevision uint64) bool {
	return era < thanEra || era == thanEra && revision < thanRevision
}

// invalidate makes the service drop what a notice says has changed. It returns
// the key's entry, or nil if it has none.
func (eng *Engine) invalidate(n storage.Notice) *entry {
	if n.ID == topicPlans {
		eng.planGeneration.Add(1)
	}
	return eng.cache.invalidate(n)
}

// rejudge judges the requests in flight by a newer state of their key, and sets
// the timer for the ends in that state. It keeps k, which must not change.
func (eng *Engine) rejudge(e *entry, k *apikey.Key, era uint32) {
	at := time.Now()
	eng.cutFlights(e, func(f *Flight) apikey.Code {
		if !older(f.v.snap.era, f.v.snap.key.Revision, era, k.Revision) {
			return apikey.OK // admitted by this state or a later one
		}
		return judge(k, f.v.Principal().Secret(), at)
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.key == nil || older(e.era, e.key.Revision, era, k.Revision) {
		e.key, e.era = k, era
	}
	if e.first != nil {
		eng.armTimer(e)
	}
}

// cutFlights cuts the requests for which verdict is not OK. The cutters run
// without the entry's lock, because they use connections.
func (eng *Engine) cutFlights(e *entry, verdict func(*Flight) apikey.Code) {
	var all []*ending
	e.mu.Lock()
	for f := e.first; f != nil; {
		next := f.next
		if cause := verdict(f); cause != apikey.OK {
			all = append(all, f.end(e, cause))
		}
		f = next
	}
	e.mu.Unlock()
	for _, one := range all {
		one.Cut(one.cause)
	}
	// Requests that listen to their context go first: most have left when the
	// slower part begins.
	runtime.Gosched()
	for _, one := range all {
		one.Sever()
	}
}

// CutAll cuts all requests in flight with the cause [apikey.Unavailable].
func (eng *Engine) CutAll() {
	for _, e := range eng.cache.inUse() {
		eng.cutFlights(e, func(*Flight) apikey.Code { return apikey.Unavailable })
	}
}

// inUse returns the entries with requests in flight.
func (c *cache) inUse() (all []*entry) {
	c.visit(func(e *entry) bool {
		if e.first != nil {
			all = append(all, e)
		}
		return true
	})
	return all
}

// busy reports whether any request is being served.
func (c *cache) busy() (busy bool) {
	c.visit(func(e *entry) bool {
		busy = e.first != nil
		return !busy
	})
	return busy
}

// allInFlight counts the requests being served.
func (c *cache) allInFlight() (n int) {
	c.visit(func(e *entry) bool {
		for f := e.first; f != nil; f = f.next {
			n++
		}
		return true
	})
	return n
}

// inFlight counts the requests being served with one secret of a key.
func (c *cache) inFlight(id string, secret uint32) int {
	e := c.entry(id)
	if e == nil {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for f := e.first; f != nil; f = f.next {
		if f.v.Principal().Secret() == secret {
			n++
		}
	}
	return n
}

// timerStep bounds one wait of an entry's timer. So if the wall clock is set
// forward, requests in flight outlive the end of a secret by no more than this.
// New requests read the clock.
const timerStep = time.Minute

// armTimer sets the entry's timer to the next end in the newest known state of
// its key; e is locked.
func (eng *Engine) armTimer(e *entry) {
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	end := nextEnd(e.key, time.Now())
	if end.IsZero() || eng.closed.Load() {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(max(0, min(timerStep, time.Until(end))), func() {
		e.mu.Lock()
		k := e.key
		e.mu.Unlock()
		at := time.Now()
		eng.cutFlights(e, func(f *Flight) apikey.Code { return judge(k, f.v.Principal().Secret(), at) })
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.timer != timer {
			return // it was armed again meanwhile
		}
		if e.timer = nil; e.first != nil {
			eng.armTimer(e)
		}
	})
	e.timer = timer
}

// nextEnd returns the first time after at when the key or one of its secrets
// stops working; zero if there is none.
func nextEnd(k *apikey.Key, at time.Time) time.Time {
	next := time.Time{}
	consider := func(t time.Time) {
		if t.After(at) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	consider(k.ExpiresAt)
	for i := range k.Secrets {
		consider(k.Secrets[i].EndsAt)
	}
	return next
}

// judge is [snapshot.refusal] for any state of a key, with the secret given by
// number: a secret that the key no longer has has ended.
func judge(k *apikey.Key, secret uint32, at time.Time) apikey.Code {
	switch k.StateAt(at) {
	case apikey.Revoked:
		return apikey.RevokedKey
	case apikey.Disabled:
		return apikey.DisabledKey
	case apikey.Expired:
		return apikey.ExpiredKey
	}
	for i := range k.Secrets {
		if s := &k.Secrets[i]; s.Number == secret && s.LiveAt(at) {
			return apikey.OK
		}
	}
	return apikey.ExpiredKey
}
