package engine

import (
	"net/netip"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
	"github.com/wontopos/latchkey/internal/token"
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

// IsZero reports whether v belongs to no key.
func (v Verified) IsZero() bool { return v.credential == nil }

// Principal returns who the request acts for.
func (v Verified) Principal() *apikey.Principal { return &v.of().principal }

// KeyID returns the key's public id.
func (v Verified) KeyID() string { return v.of().snap.key.ID }

// KeyID returns the id in a token that was found right: a part of its memory.
func KeyID(text string) string { return text[len(text)-token.TailLen+1:][:token.IDLen] }

// Limits returns the limits that apply to the key; none means unlimited. The
// slice is shared: do not modify it.
func (v Verified) Limits() []apikey.Limit { return v.of().terms.limits }

// RateLimitPolicy returns the limits as the field value of RateLimit-Policy.
func (v Verified) RateLimitPolicy() string { return v.of().terms.policy }

// RateLimitItems returns the beginnings of the items of the RateLimit field, up
// to the number that is left. They are shared: do not modify them.
func (v Verified) RateLimitItems() []string { return v.of().terms.items }

// Environment returns the key's environment. It is shared: do not modify it.
func (v Verified) Environment() *apikey.Environment { return v.of().terms.env }

// Networks reports whether the key is bound to networks: only then does
// [Verified.Permits] use the client's address.
func (v Verified) Networks() bool { return v.of().has(bound) }

// Serves reports whether the key works on a request's Host.
func (v Verified) Serves(host string) bool {
	return v.credential != nil && v.terms.env.Serves(host)
}

// AllowsNetwork reports whether the key may be used from addr. A key that is
// bound to networks allows no invalid address.
func (v Verified) AllowsNetwork(addr netip.Addr) bool {
	return v.credential != nil && v.snap.allowsNetwork(addr)
}

// Meets reports whether the key has the scopes that a route requires.
func (v Verified) Meets(q apikey.Requirement) bool {
	return v.credential != nil && q.MetBy(v.terms.scopes)
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
	case !v.terms.env.Serves(host):
		return 0, apikey.EnvironmentMismatch
	case v.has(bound) && !v.snap.allowsNetwork(client):
		return 0, apikey.NetworkNotAllowed
	}
	used, met := need.Used(v.terms.scopes)
	if !met {
		return 0, apikey.InsufficientScope
	}
	return used, apikey.OK
}

// Missing returns the required scopes that the key lacks.
func (v Verified) Missing(q apikey.Requirement) []string { return q.Missing(v.of().terms.scopes) }

// Attachment returns the key's slot for a value of whoever called
// [Engine.Attach], such as the limiter: one look-up then finds both. The value
// is lost when the key leaves the cache; the slot is empty at first.
func (v Verified) Attachment() *slot.Slot { return &v.of().entry.attached }

// Sampled reports whether the next [apikey.OK] given to Count would use
// its Use. If not, pass nil and save the effort of making one.
func (v Verified) Sampled() bool { return v.of().allowed.Load()&sampled == 0 }

// Count records how a request ended. It costs a few atomic operations: the
// counts are written in batches. For an admitted request pass the scopes that
// [Verified.Permits] returned, and u, which is used about once per flush: Count
// then returns the Sample that must be told of the request's end, and otherwise
// nil. u may be nil, and is not kept.
func (v Verified) Count(code apikey.Code, used uint64, u *Use) *Sample {
	if v.credential == nil {
		return nil
	}
	return v.terms.engine.meter.count(v.credential, outcomeOf(code), used, u)
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
	v.terms.engine.meter.recount(v.credential, outcomeOf(code), s)
}

// Used records that scopes let something through within a request that has
// already been counted. [Verified.Permits] returns which.
func (v Verified) Used(s uint64) {
	if v.credential != nil {
		v.mark(s)
	}
}
