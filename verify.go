package latchkey

import (
	"context"
	"net/netip"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
)

// Verified is a token whose secret was found right. It is a small value that
// refers to shared state: use it for one request and do not keep it. The zero
// Verified belongs to no key: it permits nothing, enters nothing and counts
// nothing.
type Verified struct{ *credential }

// of also returns a credential for the zero Verified.
func (v Verified) of() *credential {
	if v.credential == nil {
		return nobody
	}
	return v.credential
}

// Verify authenticates a token. It returns
//
//   - nil, if the token belongs to a key that works now;
//   - [apikey.ExpiredKey], [apikey.DisabledKey] or [apikey.RevokedKey], with a Verified that says
//     whose it is, if the secret is right but does not work;
//   - [apikey.InvalidKey] for everything else that is not a key: the same answer
//     for an unknown id and for a wrong secret;
//   - [apikey.Unavailable] if the store cannot confirm, [apikey.Closed] after Close,
//     ctx's error if it ends first.
//
// The verdict is as fresh as the store allows: on one that reports changes
// ([storage.Notifier]) a Verify that starts after Revoke has returned refuses the key.
// Verifying a cached key does no I/O and allocates nothing. The token is not
// kept.
func (s *Service) Verify(ctx context.Context, token string) (Verified, error) {
	v, err := s.authenticate(ctx, token)
	if err == nil && v.credential == &v.snap.current && (v.snap.firstUse.Load() || v.snap.redigest.Load()) {
		s.noteUse(v.snap, token)
	}
	return v, err
}

// authenticate is Verify without a trace: the secret does not count as used.
func (s *Service) authenticate(ctx context.Context, token string) (Verified, error) {
	if s.closed.Load() {
		return Verified{}, apikey.Closed
	}
	t, ok := s.format.parse(token)
	if !ok {
		return Verified{}, apikey.InvalidKey
	}
	snap, err := s.snapshot(ctx, t)
	if err != nil {
		return Verified{}, err
	}
	c, err := s.match(snap, t)
	if err != nil {
		if c, err = s.matchNewer(ctx, snap, t, err); err != nil {
			return Verified{}, err
		}
	}
	if code := c.refusal(); code != apikey.OK {
		return Verified{c}, code
	}
	return Verified{c}, nil
}

// snapshot returns what is known about a token's key, as fresh as the store
// allows.
func (s *Service) snapshot(ctx context.Context, t parsedToken) (*snapshot, error) {
	hash := s.cache.hash(t.id)
	if s.lease != nil && !s.lease.holds(time.Now()) {
		if err := s.lease.confirm(ctx, s.queueOf(hash, t.id)); err != nil {
			return nil, err
		}
	}
	snap := s.cache.lookup(hash, t.id)
	if snap == nil || !s.current(snap) {
		return s.fetch(ctx, t, hash, snap)
	}
	return snap, nil
}

// fetch reads the snapshot of a key from the store, if the cache has none, or
// only one that is not good enough.
func (s *Service) fetch(ctx context.Context, t parsedToken, hash uint64, old *snapshot) (snap *snapshot, err error) {
	if !s.cache.isAbsent(hash, t.id) {
		snap, err = s.load(ctx, keyID([]byte(t.id)), old, s.queueOf(hash, t.id))
	}
	if snap == nil && err == nil { // unknown: take as long as for a wrong secret
		s.digest.decoy(t)
		err = apikey.InvalidKey
	}
	return snap, err
}

// current reports whether a cached snapshot may still be trusted.
func (s *Service) current(snap *snapshot) bool {
	if snap.generation != s.planGeneration.Load() {
		return false
	}
	return s.cache.stale == 0 || time.Since(processStart)-snap.loadedAt < s.cache.stale
}

// match finds which of the key's secrets the token contains. The digest covers
// only id and secret, so a token relabelled for another environment has the
// right digest: its environment must be the record's.
func (s *Service) match(snap *snapshot, t parsedToken) (*credential, error) {
	if t.env != int(snap.envIndex) {
		s.digest.decoy(t)
		return nil, apikey.InvalidKey
	}
	for c := &snap.current; c != nil; c = c.next() {
		if !s.digest.knows(c.digest.Pepper, t.env) {
			s.complain("a key cannot be verified: its pepper is missing from Options.Peppers", "key", snap.key.ID, "pepper", c.digest.Pepper)
			return nil, apikey.Unavailable
		}
		if s.digest.matches(t, &c.digest) {
			return c, nil
		}
	}
	return nil, apikey.InvalidKey
}

// rereadEvery bounds how often wrong secrets cause a key to be read again.
const rereadEvery = 250 * time.Millisecond

// matchNewer is called after match found the secret wrong, on a store that
// others change: the secret may be newer than the cache. It waits for a read of
// the key that began after the request came, and there is one per rereadEvery:
// otherwise a client that keeps using an old secret would make a new one count
// as wrong.
func (s *Service) matchNewer(ctx context.Context, snap *snapshot, t parsedToken, err error) (*credential, error) {
	if s.synchronous || err != apikey.InvalidKey || t.env != int(snap.envIndex) {
		return nil, err
	}
	came := time.Since(processStart)
	if err := s.awaitReread(ctx, snap.entry); err != nil {
		return nil, err
	}
	for newer := snap; ; {
		switch newer, err = s.load(ctx, keyID([]byte(t.id)), newer, s.strangers); {
		case err != nil:
			return nil, err
		case newer == nil:
			return nil, apikey.InvalidKey
		case newer.loadedAt >= came:
			return s.match(newer, t)
		}
	}
}

// mostRereads bounds how many requests wait until a key may be read again. Ids
// are public: they have a bound of their own, so that a flood of wrong secrets
// for a known key takes no place from others.
const mostRereads = 256

// awaitReread waits until a key may be read again.
func (s *Service) awaitReread(ctx context.Context, e *entry) error {
	last, now := e.reread.Load(), int64(time.Since(processStart))
	wait := time.Duration(last + int64(rereadEvery) - now)
	if last == 0 || wait <= 0 {
		if e.reread.CompareAndSwap(last, now) {
			return nil
		}
		wait = rereadEvery // another request reads it now
	}
	defer s.rereads.Add(-1)
	if s.rereads.Add(1) > mostRereads {
		s.tooMany()
		return apikey.Unavailable
	}
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-turn.C:
		e.reread.CompareAndSwap(last, int64(time.Since(processStart)))
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next returns the credential to try after this one.
func (c *credential) next() *credential {
	if c == &c.snap.current {
		return c.snap.previous
	}
	return nil
}

// Principal returns who the request acts for.
func (v Verified) Principal() *apikey.Principal { return &v.of().principal }

// KeyID returns the key's public id.
func (v Verified) KeyID() string { return v.of().snap.id }

// Limits returns the limits that apply to the key; none means unlimited. The
// slice is shared: do not modify it.
func (v Verified) Limits() []apikey.Limit { return v.of().snap.terms.limits }

// RateLimitPolicy returns the limits as the field value of RateLimit-Policy.
func (v Verified) RateLimitPolicy() string { return v.of().snap.terms.policy }

// RateLimitItem returns the beginning of item i of the RateLimit field, up to
// the number that is left.
func (v Verified) RateLimitItem(i int) string {
	if items := v.of().snap.terms.items; uint(i) < uint(len(items)) {
		return items[i]
	}
	return ""
}

// Environment returns the key's environment. It is shared: do not modify it.
func (v Verified) Environment() *apikey.Environment { return v.of().snap.terms.env }

// Networks reports whether the key is bound to networks: only then does
// [Verified.Permits] use the client's address.
func (v Verified) Networks() bool { return v.of().snap.bound }

// Serves reports whether the key works on a request's Host.
func (v Verified) Serves(host string) bool {
	return v.credential != nil && v.snap.terms.env.Serves(host)
}

// AllowsNetwork reports whether the key may be used from addr. A key that is
// bound to networks allows no invalid address.
func (v Verified) AllowsNetwork(addr netip.Addr) bool {
	return v.credential != nil && v.snap.allowsNetwork(addr)
}

// Meets reports whether the key has the scopes that a route requires.
func (v Verified) Meets(q apikey.Requirement) bool {
	return v.credential != nil && q.MetBy(v.snap.terms.scopes)
}

// Permits makes the free checks, in their order: the environment against the
// request's Host, the client's address against the key's networks, its scopes
// against what the route requires. It returns the code of the first one that
// fails; with OK it returns the scopes that the route uses, for
// [Verified.Count].
func (v Verified) Permits(host string, client netip.Addr, need *apikey.Requirement) (uint64, apikey.Code) {
	switch {
	case v.credential == nil:
		return 0, apikey.InvalidKey
	case !v.snap.terms.env.Serves(host):
		return 0, apikey.EnvironmentMismatch
	case v.snap.bound && !v.snap.allowsNetwork(client):
		return 0, apikey.NetworkNotAllowed
	}
	used, met := need.Used(v.snap.terms.scopes)
	if !met {
		return 0, apikey.InsufficientScope
	}
	return used, apikey.OK
}

// Missing returns the required scopes that the key lacks.
func (v Verified) Missing(q apikey.Requirement) []string { return q.Missing(v.of().snap.terms.scopes) }

// Attachment returns the key's slot for what the limiter of whoever called
// [Service.Attach] keeps: one look-up then finds both. It is lost when the key
// leaves the cache; the slot is empty at first. It is for package middleware.
func (v Verified) Attachment() *slot.Slot { return &v.of().snap.entry.attached }

// Sampled reports whether the next [apikey.OK] given to Count would use
// its Use. If not, pass nil and save the effort of making one.
func (v Verified) Sampled() bool { return v.of().last.Load() == nil }

// Count records how a request ended. It costs a few atomic operations: the
// counts are written in batches. For an admitted request pass the scopes that
// [Verified.Permits] returned, and u, which is used about once per flush: Count
// then returns the Sample that must be told of the request's end, and otherwise
// nil. u may be nil, and is not kept.
func (v Verified) Count(code apikey.Code, used uint64, u *Use) *Sample {
	if v.credential == nil {
		return nil
	}
	return v.snap.terms.service.meter.count(v.credential, outcomeOf(code), used, u)
}

// Recount turns a request that was counted as [apikey.OK] into the refusal
// code, because it was refused before it was served after all. The Sample is what
// Count returned for it, usually nil: the last use then describes another
// request. A request that the store already has as admitted may stay admitted;
// it counts once in any case.
func (v Verified) Recount(code apikey.Code, s *Sample) {
	if v.credential == nil || code == apikey.OK {
		return
	}
	v.snap.terms.service.meter.recount(v.credential, outcomeOf(code), s)
}

// Used records that scopes let something through within a request that has
// already been counted. [Verified.Permits] returns which.
func (v Verified) Used(s uint64) {
	if v.credential != nil {
		v.mark(s)
	}
}
