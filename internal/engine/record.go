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
// computed once has been. It is immutable, except for the marks and counters of
// its credentials. A request with a cached key does not read it: what requests
// read of a key are the two cache lines with which its entry begins.
type snapshot struct {
	current  *credential
	previous *credential   // nil if the key has one secret
	loadedAt time.Duration // when its read began, since the start of the process; for stores that may be stale
	era      uint32        // of the cache, when its read began; final when the snapshot is published
	closed   apikey.Code   // why no secret of the key works: revoked or disabled; otherwise OK
	key      apikey.Key
}

// credential is one secret of a snapshot. What every request reads comes first,
// and fills a cache line.
type credential struct {
	digest  storage.Digest
	marks   atomic.Uint32
	allowed atomic.Uint64 // admitted requests since the last flush, with listed and sampled
	terms   *terms
	entry   *entry // of the key; final when the snapshot is published

	snap      *snapshot                      // ends the first cache line
	last      atomic.Pointer[Sample]         // the first admitted request since the last flush
	used      atomic.Uint64                  // the scopes since the last flush that have no mark
	ends      int64                          // when it stops working, in Unix microseconds; never: math.MaxInt64
	refused   [numOutcomes - 1]atomic.Uint32 // all other outcomes, from the first after allowed, since the last flush
	principal apikey.Principal
}

// The bits of credential.marks. Those without a comment never change.
const (
	markedScopes = 1<<16 - 1        // the first scopes, if they were used since the last flush
	recent       = 1 << (15 + iota) // the key was looked up since the clock hand last passed; of a current secret
	firstUse                        // the new secret's first use is still to be recorded; of a current secret
	redigest                        // the digest is not under the newest pepper; of a current secret
	shut                            // no secret of the key works: see snapshot.closed
	timed                           // some secret of the key has an end, so the clock must be read
	bound                           // to networks

	envShift = 24 // above: the index of the environment
)

// The bits of credential.allowed above the count.
const (
	// listed says that the meter has the credential in its list. Collecting the
	// count takes it out of the list in the same step.
	listed = 1 << 63
	// sampled says that there is a last use, so that a request need not look. It is a
	// hint: see meter.listSampled.
	sampled = 1 << 62

	counted = sampled - 1
)

// has reports whether any of the marks is set.
func (c *credential) has(marks uint32) bool { return c.marks.Load()&marks != 0 }

func (c *credential) envIndex() int { return int(c.marks.Load() >> envShift) }

// terms are what many keys have in common. Keys with equal terms share them,
// which saves memory and keeps what every request reads in the processor's
// cache.
type terms struct {
	engine     *Engine
	generation uint64 // of the plans from which the limits came
	env        *apikey.Environment
	limits     []apikey.Limit
	policy     string   // the RateLimit-Policy field of the limits
	items      []string // see LimitFields
	scopes     []string
}

// termsTable interns terms.
type termsTable struct {
	mu  sync.Mutex
	all map[string]*terms
}

// mostTerms bounds the table; when it is full, everything is dropped and built
// again.
const mostTerms = 1 << 12

// termsOf returns the terms of a key on a plan of the generation. The plan is
// validated unless its limits equal those validated before: a key is loaded
// often, and plans are few.
func (eng *Engine) termsOf(k *apikey.Key, env *apikey.Environment, p apikey.Plan, generation uint64) (*terms, error) {
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
	if known && same.generation == generation {
		return same, nil
	}
	if t.all == nil || len(t.all) >= mostTerms {
		t.all = make(map[string]*terms)
	}
	p.Limits = slices.Clone(p.Limits) // a source may change its own
	policy, items := LimitFields(p.Limits, "")
	made := &terms{eng, generation, env, p.Limits, policy, items, k.Scopes}
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
	snap := &snapshot{key: k, loadedAt: began}
	generation := eng.planGeneration.Load()
	plan, err := eng.planOf(ctx, &k)
	var of *terms
	if err == nil {
		of, err = eng.termsOf(&k, &eng.o.Environments[env], plan, generation)
	}
	if err != nil {
		return nil, faults.Unavailable("plan", err)
	}
	snap.key.Scopes = of.scopes
	marks := uint32(env) << envShift
	if len(k.Networks) > 0 {
		marks |= bound
	}
	switch {
	case !k.RevokedAt.IsZero():
		snap.closed = apikey.RevokedKey
	case !k.DisabledAt.IsZero():
		snap.closed = apikey.DisabledKey
	}
	if snap.closed != apikey.OK {
		marks |= shut
	}
	for i := range k.Secrets {
		if !k.Secrets[i].EndsAt.IsZero() || !k.ExpiresAt.IsZero() {
			marks |= timed
		}
	}
	if len(k.Secrets) == 2 {
		snap.previous = snap.credential(1, r.Digests[1], of, marks, new(credential))
		if k.Secrets[0].FirstUsedAt.IsZero() && k.RotatingAt(bounds.Now()) {
			marks |= firstUse
		}
	}
	if r.Digests[0].Pepper != eng.digest.Newest {
		marks |= redigest
	}
	e := new(entry)
	snap.current = snap.credential(0, r.Digests[0], of, marks|recent, &e.own)
	snap.belong(e)
	return snap, nil
}

// belong makes the snapshot one of the entry.
func (s *snapshot) belong(e *entry) {
	s.current.entry = e
	if s.previous != nil {
		s.previous.entry = e
	}
}

// credential makes c the credential of secret i.
func (s *snapshot) credential(i int, d storage.Digest, of *terms, marks uint32, c *credential) *credential {
	secret := &s.key.Secrets[i]
	c.ends = math.MaxInt64
	for _, end := range []time.Time{secret.EndsAt, s.key.ExpiresAt} {
		if !end.IsZero() {
			c.ends = min(c.ends, end.UnixMicro())
		}
	}
	c.digest, c.terms, c.snap = d, of, s
	c.marks.Store(marks)
	c.principal = apikey.NewPrincipal(&s.key, secret.Number, (*scopeUses)(c))
	return c
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
	switch marks := c.marks.Load(); {
	case marks&(shut|timed) == 0:
	case marks&shut != 0:
		return c.snap.closed
	case time.Now().UnixMicro() >= c.ends:
		return apikey.ExpiredKey
	}
	return apikey.OK
}

// nobody is the credential of a zero Verified or Principal.
var nobody = func() *credential {
	e := new(entry)
	c := &e.own
	c.entry, c.terms, c.snap = e, &terms{env: new(apikey.Environment)}, &snapshot{current: c}
	c.marks.Store(bound)
	return c
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
