package middleware

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// owners has the limits of owners, so that a request need not look them up.
type owners struct {
	source apikey.PlanSource // nil: all have the standard limits
	limits []apikey.Limit    // of an owner that the source does not have
	tags   bool              // subjects have hash tags

	mu  sync.RWMutex
	all map[string]*owner
}

// owner is what is known about an owner's limits, once ready is closed.
type owner struct {
	generation uint64 // of the plans
	ready      chan struct{}
	set        *limitSet // nil: unlimited
	err        error
}

// mostOwners bounds the cache; when it is full, everything is dropped and looked
// up again.
const mostOwners = 1 << 16

// of returns the limits of an owner; nil if there are none. The source is asked
// once for each generation of the plans, and again after it has failed.
func (s *owners) of(ctx context.Context, name string, generation uint64) (*limitSet, error) {
	s.mu.RLock()
	o := s.all[name]
	s.mu.RUnlock()
	if o != nil && o.generation == generation {
		select {
		case <-o.ready:
			if o.err == nil {
				return o.set, nil
			}
		default:
		}
	}
	o, mine := s.entry(strings.Clone(name), generation)
	if mine {
		o.load(context.WithoutCancel(ctx), s, name)
	}
	select {
	case <-o.ready:
		return o.set, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// entry returns the owner's entry; if mine is true, the caller has to load it.
func (s *owners) entry(name string, generation uint64) (o *owner, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o = s.all[name]; o != nil && o.generation >= generation && !o.failed() {
		return o, false
	}
	if s.all == nil || len(s.all) >= mostOwners {
		s.all = make(map[string]*owner)
	}
	o = &owner{generation: generation, ready: make(chan struct{})}
	s.all[name] = o
	return o, true
}

func (o *owner) failed() bool {
	select {
	case <-o.ready:
		return o.err != nil
	default:
		return false
	}
}

func (o *owner) load(ctx context.Context, s *owners, name string) {
	defer close(o.ready)
	limits := s.limits
	if s.source != nil {
		o.err = errors.New("the look-up ended")
		plan, err := s.source.Plan(ctx, name)
		if err == nil {
			err = plan.Validate()
			limits = append([]apikey.Limit(nil), plan.Limits...) // a source may change its own
		} else if errors.Is(err, apikey.NotFound) {
			err = nil
		}
		if o.err = err; err != nil {
			return
		}
	}
	if len(limits) > 0 {
		o.set = newLimitSet(ownerSubject(s.tag(name), name), ownerPrefix, limits)
	}
}

// tag returns the hash tag of an owner, if subjects have one.
func (s *owners) tag(owner string) string {
	if !s.tags {
		return ""
	}
	return hashTag(owner)
}

// hashTag returns a text in braces, by which Redis Cluster chooses the server of
// a key. Owners may have braces in their names, and share a tag by chance.
func hashTag(owner string) string { return fmt.Sprintf("{%016x}", xxhash.Sum64String(owner)) }

// subject returns the limiter's name of a key with this id.
func (g *Guard) subject(id string, o *Outcome) string {
	if g.o.HashTags {
		return o.tagged(id)
	}
	return id
}

func (o *Outcome) tagged(id string) string { return hashTag(o.presented.Owner()) + id }

// ownerSubject returns the limiter's name of an owner. An owner may be longer
// than a subject: then its digest stands for it. No other owner's subject
// begins like that.
func ownerSubject(tag, owner string) string {
	if name := tag + "owner:" + owner; len(name) <= limiter.MaxSubject {
		return name
	}
	return fmt.Sprintf("%sowner-sha256:%x", tag, sha256.Sum256([]byte(owner)))
}
