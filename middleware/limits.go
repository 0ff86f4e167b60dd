package middleware

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
)

// limitSet is limits of one subject, with what clients are told of them.
type limitSet struct {
	subject string // for the limiter; empty: the key
	limits  []apikey.Limit
	policy  string   // of the RateLimit-Policy field
	items   []string // see engine.LimitFields
}

func newLimitSet(subject, prefix string, limits []apikey.Limit) *limitSet {
	policy, items := engine.LimitFields(limits, prefix)
	return &limitSet{subject, limits, policy, items}
}

// keyLimits returns the limits under the key's own name: its own and the route's.
func (o *Outcome) keyLimits() []apikey.Limit {
	if o.set != nil {
		return o.set.limits
	}
	return o.verified.Limits()
}

// limited reports whether the request has limits.
func (o *Outcome) limited() bool { return len(o.keyLimits()) > 0 || o.owner != nil }

// lookUp finds the limits of a request besides those of its key.
func (d *Door) lookUp(ctx context.Context, o *Outcome) apikey.Code {
	g := d.guard
	o.set = d.sets.of(o.verified.Limits(), d.route.Limits)
	if g.owners == nil {
		return apikey.OK
	}
	owner, err := g.owners.of(ctx, o.presented.Owner(), g.engine.PlanGeneration())
	if err != nil {
		if ctx.Err() == nil {
			g.complaint.say(g, fmt.Errorf("the plan of owner %q: %w", o.presented.Owner(), err))
		}
		if g.o.Shadow {
			return apikey.OK
		}
		return apikey.Unavailable // never as if it were unlimited
	}
	o.owner = owner
	return apikey.OK
}

// limitSets has, for the limits of each plan, those that a route adds to them.
type limitSets struct {
	mu  sync.RWMutex
	all map[*apikey.Limit]*limitSet // by the first limit of a key, which keys of one plan share
}

// mostSets bounds the sets of one door; then they are built again.
const mostSets = 1 << 12

// of returns own and more together, or nil if there are no more.
func (s *limitSets) of(own, more []apikey.Limit) *limitSet {
	if len(more) == 0 {
		return nil
	}
	var plan *apikey.Limit
	if len(own) > 0 {
		plan = &own[0]
	}
	s.mu.RLock()
	set := s.all[plan]
	s.mu.RUnlock()
	if set != nil {
		return set
	}
	set = newLimitSet("", "", together(own, more))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil || len(s.all) >= mostSets {
		s.all = make(map[*apikey.Limit]*limitSet)
	}
	s.all[plan] = set
	return set
}

// together returns both lists. Where both have a limit that shares its count, the
// stricter one applies.
func together(own, more []apikey.Limit) []apikey.Limit {
	all := slices.Clone(own)
	for _, l := range more {
		i := slices.IndexFunc(all, l.Same)
		switch {
		case i < 0:
			all = append(all, l)
		case all[i].Shadow && !l.Shadow:
			all[i] = l
		case all[i].Shadow == l.Shadow:
			all[i].N = min(all[i].N, l.N)
		}
	}
	return all
}
