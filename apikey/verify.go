package apikey

import (
	"context"
	"net/netip"
	"strings"
	"time"
)

// Verified is a token whose secret was found right. It is a small value that
// refers to shared state: use it for one request and keep it no longer.
type Verified struct {
	entry  *entry
	snap   *snapshot
	secret int // 0 the current one, 1 the previous
	s      *Service
}

// Verify authenticates a token. It returns
//
//   - nil, when the token belongs to a key that works now;
//   - [ErrExpired], [ErrDisabled] or [ErrRevoked] with a Verified that tells
//     whose it is, when the secret is right but does not work;
//   - [ErrInvalidKey] for everything else that is no key: the same answer
//     for an unknown id and for a wrong secret;
//   - [ErrUnavailable] when the store cannot confirm, [ErrClosed] after
//     Close, ctx's error when it ends first.
//
// The verdict is as fresh as the store allows: on one that reports changes
// ([Notifier]) a Verify that starts after Revoke returned refuses the key. A key
// in the cache costs no I/O and no memory. The token is not kept.
func (s *Service) Verify(ctx context.Context, token string) (Verified, error) {
	if s.closed.Load() {
		return Verified{}, ErrClosed
	}
	t, ok := s.format.parse(token)
	if !ok {
		return Verified{}, ErrInvalidKey
	}
	e, snap := s.cache.lookup(t.id)
	if snap == nil || !s.current(snap) {
		var err error
		// A copy: the cache keeps the id, and t.id is a view of the whole token.
		if e, snap, err = s.load(ctx, strings.Clone(t.id)); err != nil {
			return Verified{}, err
		}
		if snap == nil { // unknown: take the time of a known one
			s.digest.decoy(t)
			return Verified{}, ErrInvalidKey
		}
	}
	secret, err := s.match(snap, t)
	if err != nil {
		return Verified{}, err
	}
	v := Verified{entry: e, snap: snap, secret: secret, s: s}
	if code := snap.refusal(secret); code != OK {
		return v, sentinels[code]
	}
	if secret == 0 && (snap.firstUse.Load() || snap.redigest.Load()) {
		s.noteUse(snap, t)
	}
	return v, nil
}

// current reports whether a cached snapshot may still be trusted.
func (s *Service) current(snap *snapshot) bool {
	if snap.generation != s.planGeneration.Load() {
		return false
	}
	return s.cache.stale == 0 || time.Since(processStart)-snap.loadedAt < s.cache.stale
}

// match finds which of the key's secrets the token holds. The digest covers id
// and secret only, so a token re-labelled for another environment has the
// right digest: its environment must be the record's.
func (s *Service) match(snap *snapshot, t parsedToken) (int, error) {
	if t.env != snap.envIndex {
		s.digest.decoy(t)
		return 0, ErrInvalidKey
	}
	for i := range snap.digests {
		d := &snap.digests[i]
		if !s.digest.knows(d.Pepper, t.env) {
			s.complain("a key cannot be verified: its pepper is missing from Options.Peppers", "key", snap.key.ID, "pepper", d.Pepper)
			return 0, ErrUnavailable
		}
		if s.digest.matches(t, d) {
			return i, nil
		}
	}
	return 0, ErrInvalidKey
}

// Principal returns who the request acts for.
func (v Verified) Principal() *Principal { return &v.snap.principals[v.secret] }

// Limits returns the limits that apply to the key; none means unlimited. The
// slice is shared: read only.
func (v Verified) Limits() []Limit { return v.snap.limits }

// RateLimitPolicy returns the limits as the field value of RateLimit-Policy.
func (v Verified) RateLimitPolicy() string { return v.snap.policy }

// Environment returns the key's environment. It is shared: read only.
func (v Verified) Environment() *Environment { return v.snap.env }

// Serves reports whether the key works on a request's Host.
func (v Verified) Serves(host string) bool { return v.snap.env.serves(host) }

// AllowsNetwork reports whether the key may be used from addr. A key that is
// bound to networks allows no invalid address.
func (v Verified) AllowsNetwork(addr netip.Addr) bool { return v.snap.allowsNetwork(addr) }

// Networks reports whether the key is bound to networks at all.
func (v Verified) Networks() bool { return len(v.snap.key.Networks) > 0 }

// Meets reports whether the key has the scopes that a route requires.
func (v Verified) Meets(q Requirement) bool { return q.MetBy(v.snap.key.Scopes) }

// Missing returns the required scopes that the key lacks.
func (v Verified) Missing(q Requirement) []string { return q.Missing(v.snap.key.Scopes) }

// Attached returns what the caller keeps beside the key in the cache, such as
// the limiter's slot, so that one look-up finds both. The first call for a key
// makes it, all further ones return the same; it is lost when the key leaves
// the cache. All callers have to make values of one type.
func (v Verified) Attached(make func() any) any {
	if a := v.entry.attached.Load(); a != nil {
		return a
	}
	v.entry.attached.CompareAndSwap(nil, make())
	return v.entry.attached.Load()
}

// Sampled reports whether the next [OutcomeAllowed] given to Count would look
// at its source and user agent. When it is false both can be left empty, and
// what it takes to find them saved.
func (v Verified) Sampled() bool { return v.snap.use[v.secret].last.Load() == nil }

// Count records how a request ended. It costs a few atomic operations: the
// counts are written in batches. Source and user agent are looked at for an
// admitted request only, about once a flush, and nothing of them is kept but
// the network (/24 or /48) and a copy of 128 bytes.
func (v Verified) Count(o Outcome, source netip.Addr, userAgent string) {
	v.s.meter.count(&v.snap.use[v.secret], o, source, userAgent)
}
