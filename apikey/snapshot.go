package apikey

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// snapshot is a record made ready to verify requests: everything that can be
// computed once is. It is immutable but for its counters, so the hot path reads
// it without a lock.
type snapshot struct {
	key        Key
	digests    []Digest
	env        *Environment
	envIndex   int
	limits     []Limit
	policy     string        // the RateLimit-Policy header of limits
	generation uint64        // of the plans that limits came from
	loadedAt   time.Duration // since the start of the process; for stores that may be stale
	ends       [2]time.Time  // when each secret stops working; zero is never
	timed      bool          // some secret has an end: the clock must be read
	principals [2]Principal
	use        [2]useCell
	firstUse   atomic.Bool // the new secret's first use is still to be written down
	redigest   atomic.Bool // the current secret's digest is not under the newest pepper
}

var processStart = time.Now()

// compile makes a snapshot of a record. It fails when the plan cannot be
// told: a key whose limits are not known is refused, never unlimited.
func (s *Service) compile(ctx context.Context, r Record) (*snapshot, error) {
	k := r.Key
	if n := len(k.Secrets); n < 1 || n > 2 || n != len(r.Digests) {
		return nil, unavailable("verify", fmt.Errorf("record of key %s has %d secrets and %d digests", k.ID, n, len(r.Digests)))
	}
	env, ok := s.environment(k.Environment)
	if !ok {
		return nil, unavailable("verify", fmt.Errorf("key %s belongs to environment %q, which this service does not have", k.ID, k.Environment))
	}
	snap := &snapshot{
		key: k, digests: r.Digests, env: &s.envs[env], envIndex: env,
		generation: s.planGeneration.Load(), loadedAt: time.Since(processStart),
	}
	if snap.limits = k.Limits; len(k.Limits) == 0 {
		plan, err := s.o.PlanSource.Plan(ctx, k.Plan)
		if err == nil {
			err = plan.Validate()
		}
		if errors.Is(err, ErrUnknownPlan) {
			err = fmt.Errorf("key %s names plan %q, which this service does not have: add it to Options.Plans or change the key", k.ID, k.Plan)
		}
		if err != nil {
			return nil, unavailable("plan", err)
		}
		snap.limits = plan.Limits
	}
	snap.policy = policyHeader(snap.limits)
	for i := range k.Secrets {
		end := k.Secrets[i].EndsAt
		if !k.ExpiresAt.IsZero() && (end.IsZero() || k.ExpiresAt.Before(end)) {
			end = k.ExpiresAt
		}
		snap.ends[i] = end
		snap.timed = snap.timed || !end.IsZero()
		snap.principals[i] = Principal{key: &snap.key, secret: k.Secrets[i].Number}
		snap.use[i] = useCell{keyID: k.ID, secret: k.Secrets[i].Number}
	}
	snap.firstUse.Store(len(k.Secrets) == 2 && k.Secrets[0].FirstUsedAt.IsZero() && k.RotatingAt(now()))
	snap.redigest.Store(r.Digests[0].Pepper != s.digest.newest)
	return snap, nil
}

// policyHeader formats limits as the RateLimit-Policy field of
// draft-ietf-httpapi-ratelimit-headers.
func policyHeader(limits []Limit) string {
	var b strings.Builder
	for i, l := range limits {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q;q=%d;w=%d", l.Name, l.N, int64(l.Window/time.Second))
	}
	return b.String()
}

// refusal says why the secret does not work now; OK when it does.
func (s *snapshot) refusal(secret int) Code {
	switch {
	case !s.key.RevokedAt.IsZero():
		return RevokedKey
	case !s.key.DisabledAt.IsZero():
		return DisabledKey
	case s.timed && !s.ends[secret].IsZero() && !time.Now().Before(s.ends[secret]):
		return ExpiredKey
	}
	return OK
}

// sentinels maps the codes of a request to errors that need no memory.
var sentinels = map[Code]*Error{
	InvalidKey: ErrInvalidKey, ExpiredKey: ErrExpired, DisabledKey: ErrDisabled,
	RevokedKey: ErrRevoked, Unavailable: ErrUnavailable,
}

// Principal is who a request acts for: the key that it was sent with, as far
// as handlers should see it. It is immutable and shared between requests.
type Principal struct {
	key    *Key
	secret uint32
}

// KeyID returns the key's public id.
func (p *Principal) KeyID() string { return p.key.ID }

// Name returns the key's name.
func (p *Principal) Name() string { return p.key.Name }

// Owner returns the account that the key acts for.
func (p *Principal) Owner() string { return p.key.Owner }

// Environment returns the key's environment, for example "live" or "test":
// which data the request must act on.
func (p *Principal) Environment() string { return p.key.Environment }

// Plan returns the name of the key's plan.
func (p *Principal) Plan() string { return p.key.Plan }

// Has reports whether the key was granted a scope.
func (p *Principal) Has(scope string) bool { return hasScope(p.key.Scopes, scope) }

// Scopes returns a copy of the granted scopes.
func (p *Principal) Scopes() []string { return slices.Clone(p.key.Scopes) }

// Metadata returns one value of the key's metadata.
func (p *Principal) Metadata(name string) string { return p.key.Metadata[name] }

// Secret returns the number of the secret that the request was sent with.
func (p *Principal) Secret() uint32 { return p.secret }

// ExpiresAt returns when the key expires; zero means never.
func (p *Principal) ExpiresAt() time.Time { return p.key.ExpiresAt }

// allowsNetwork reports whether addr is in one of the key's networks.
func (s *snapshot) allowsNetwork(addr netip.Addr) bool {
	if len(s.key.Networks) == 0 {
		return true
	}
	addr = addr.Unmap().WithZone("")
	for _, p := range s.key.Networks {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
