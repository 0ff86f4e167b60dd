package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/storage"
)

// snapshot is a record prepared for verifying requests: everything that can be
// computed once has been. It is immutable except for its marks and counters, so
// the hot path reads it without a lock.
//
// With ten thousand keys in use, the cost of a request is that of its cold
// cache lines. So the fields that every request reads are adjacent: 64 bytes
// here and the first 64 of current, right behind the 64 of the entry (see
// home).
type snapshot struct {
	entry      *entry // of the key; final when the snapshot is published
	terms      *terms
	id         string
	generation uint64        // of the plans from which the limits came
	loadedAt   time.Duration // when its read began, since the start of the process; for stores that may be stale
	envIndex   uint8
	closed     apikey.Code // why no secret of the key works: revoked or disabled; otherwise OK
	timed      bool        // some secret has an end, so the clock must be read
	bound      bool        // to networks
	firstUse   atomic.Bool // the new secret's first use is still to be recorded
	redigest   atomic.Bool // the current secret's digest is not under the newest pepper
	era        uint32      // of the cache, when its read began; final when the snapshot is published

	current  credential
	previous *credential // nil if the key has one secret
	key      apikey.Key
}

// credential is one secret of a snapshot.
type credential struct {
	digest    storage.Digest
	used      atomic.Uint32 // the first 32 scopes, since the last flush
	snap      *snapshot
	last      atomic.Pointer[Sample] // the first admitted request since the last flush
	allowed   atomic.Uint64          // admitted requests since the last flush; with listed, in the meter's list
	principal apikey.Principal
	usedHigh  atomic.Uint32                  // the other scopes
	ends      int64                          // when it stops working, in Unix microseconds; never: math.MaxInt64
	refused   [numOutcomes - 1]atomic.Uint64 // all other outcomes, from the first after allowed, since the last flush
}

// listed is the bit of credential.allowed that says that the meter has the
// credential in its list. Collecting the count takes it out of the list in the
// same step.
const listed = 1 << 63

// home is the memory of a snapshot, and of its key's entry if there is none
// yet: for most keys the two stay adjacent.
type home struct {
	entry entry
	snapshot
}

// terms are what many keys have in common. Keys with equal terms share them,
// which saves memory and keeps what every request reads in the processor's
// cache.
type terms struct {
	engine *Engine
	env    *apikey.Environment
	limits []apikey.Limit
	policy string   // the RateLimit-Policy field of the limits
	items  []string // see LimitFields
	scopes []string
}

// termsTable interns terms.
type termsTable struct {
	mu  sync.Mutex
	all map[string]*terms
}

// mostTerms bounds the table; when it is full, everything is dropped and built
// again.
const mostTerms = 1 << 12

// termsOf returns the terms of a key on a plan. The plan is validated unless
// its limits equal those validated before: a key is loaded often, and plans are
// few.
func (eng *Engine) termsOf(k *apikey.Key, env *apikey.Environment, p apikey.Plan) (*terms, error) {
	name := env.Name + "\n" + p.Name + "\n" + strings.Join(k.Scopes, " ") // no scope contains a space
	t := &eng.terms
	t.mu.Lock()
	defer t.mu.Unlock()
	same := t.all[name]
	known := same != nil && slices.Equal(same.limits, p.Limits)
	if !known || len(p.Limits) == 0 { // having no limits at all must be deliberate
		if err := p.Validate(); err != nil {
			return nil, err
		}
	}
	if known {
		return same, nil
	}
	if t.all == nil || len(t.all) >= mostTerms {
		t.all = make(map[string]*terms)
	}
	p.Limits = slices.Clone(p.Limits) // a source may change its own
	policy, items := LimitFields(p.Limits, "")
	made := &terms{eng, env, p.Limits, policy, items, k.Scopes}
	t.all[name] = made
	return made, nil
}

// planOf returns the plan of a key: its own limits, or those of its plan.
func (eng *Engine) planOf(ctx context.Context, k *apikey.Key) (apikey.Plan, error) {
	if len(k.Limits) > 0 {
		return apikey.Plan{Name: "own", Limits: k.Limits}, nil
	}
	p, err := eng.o.Plans.Plan(ctx, k.Plan)
	if errors.Is(err, apikey.NotFound) {
		err = fmt.Errorf("key %s names plan %q, which this service does not have: add it to Options.Plans or change the key", k.ID, k.Plan)
	}
	return p, err
}

var processStart = time.Now()

// compile makes a snapshot of a record. It fails if the plan cannot be
// determined: a key whose limits are unknown is refused, never unlimited.
func (eng *Engine) compile(ctx context.Context, r storage.Record, began time.Duration) (*snapshot, error) {
	k := r.Key
	if n := len(k.Secrets); n < 1 || n > 2 || n != len(r.Digests) {
		return nil, faults.Unavailable("verify", fmt.Errorf("record of key %s has %d secrets and %d digests", k.ID, n, len(r.Digests)))
	}
	env, ok := eng.Environment(k.Environment)
	if !ok {
		return nil, faults.Unavailable("verify", fmt.Errorf("key %s belongs to environment %q, which this service does not have", k.ID, k.Environment))
	}
	h := &home{snapshot: snapshot{
		id: k.ID, key: k, envIndex: uint8(env), bound: len(k.Networks) > 0,
		generation: eng.planGeneration.Load(), loadedAt: began,
	}}
	snap := &h.snapshot
	snap.entry = &h.entry
	plan, err := eng.planOf(ctx, &k)
	if err == nil {
		snap.terms, err = eng.termsOf(&k, &eng.o.Environments[env], plan)
	}
	if err != nil {
		return nil, faults.Unavailable("plan", err)
	}
	snap.key.Scopes = snap.terms.scopes
	switch {
	case !k.RevokedAt.IsZero():
		snap.closed = apikey.RevokedKey
	case !k.DisabledAt.IsZero():
		snap.closed = apikey.DisabledKey
	}
	snap.add(&snap.current, 0, r.Digests[0])
	if len(k.Secrets) == 2 {
		snap.previous = new(credential)
		snap.add(snap.previous, 1, r.Digests[1])
		snap.firstUse.Store(k.Secrets[0].FirstUsedAt.IsZero() && k.RotatingAt(bounds.Now()))
	}
	snap.redigest.Store(r.Digests[0].Pepper != eng.digest.Newest)
	return snap, nil
}

// add makes a credential of secret i.
func (s *snapshot) add(c *credential, i int, d storage.Digest) {
	secret := &s.key.Secrets[i]
	c.ends = math.MaxInt64
	for _, end := range []time.Time{secret.EndsAt, s.key.ExpiresAt} {
		if !end.IsZero() {
			c.ends, s.timed = min(c.ends, end.UnixMicro()), true
		}
	}
	c.digest, c.snap = d, s
	c.principal = apikey.NewPrincipal(&s.key, secret.Number, (*scopeUses)(c))
}

// LimitFields formats limits for the fields of
// draft-ietf-httpapi-ratelimit-headers: the value of RateLimit-Policy, and the
// beginning of each item of RateLimit, up to the number that is left:
// "minute";r= and so on. The names that clients see begin with prefix. A shadow
// has no policy, and an empty item: clients need not keep to it.
func LimitFields(limits []apikey.Limit, prefix string) (policy string, items []string) {
	var b strings.Builder
	items = make([]string, len(limits))
	for i, l := range limits {
		if l.Shadow {
			continue
		}
		comma := ""
		if b.Len() > 0 {
			comma = ", "
		}
		name := fmt.Sprintf("%s%q", comma, prefix+l.Name)
		items[i] = name + ";r="
		fmt.Fprintf(&b, "%s;q=%d", name, min(l.N, MostInField))
		if l.Window > 0 {
			fmt.Fprintf(&b, ";w=%d", int64(l.Window/time.Second))
		}
		switch {
		case l.Concurrent:
			b.WriteString(`;qu="concurrent-requests"`)
		case l.Unit != "":
			fmt.Fprintf(&b, ";qu=%q", l.Unit)
		}
	}
	return b.String(), items
}

// MostInField is the largest integer that a structured field may have (RFC
// 9651), one less than [apikey.MaxQuotaN].
const MostInField = 999_999_999_999_999

// refusal says why the secret does not work now; OK if it does.
func (c *credential) refusal() apikey.Code {
	switch {
	case c.snap.closed != apikey.OK:
		return c.snap.closed
	case c.snap.timed && time.Now().UnixMicro() >= c.ends:
		return apikey.ExpiredKey
	}
	return apikey.OK
}

// nobody is the credential of a zero Verified or Principal.
var nobody = func() *credential {
	s := &snapshot{entry: new(entry), terms: &terms{env: new(apikey.Environment)}, bound: true}
	s.current.snap = s
	return &s.current
}()

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
