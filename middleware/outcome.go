package middleware

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/limiter"
)

// Outcome is what [Guard.Check] decided. The zero Outcome holds no decision: it
// is not Allowed and has no principal. An Outcome is a value that refers to the
// key's shared state: use it for one request.
type Outcome struct {
	// Code is OK for an admitted request. For a refusal, [apikey.Code.Info] says
	// how each wire shows it.
	Code apikey.Code
	// Decision is the limiter's; zero if it was not asked.
	Decision limiter.Decision

	guard     *Guard
	verified  engine.Verified
	presented *apikey.Principal // whose secret was right, if any
	need      apikey.Requirement
	entered   bool // the request is in flight
	// unknownHost says that the request's Host belongs to no environment.
	unknownHost bool
	used        uint64         // the key's scopes that Need used
	sample      *engine.Sample // nil for all but one request per flush
}

// of returns the guard that decided. An Outcome without one acts as if a guard
// with the default options had decided it.
func (o *Outcome) of() *Guard {
	if o.guard != nil {
		return o.guard
	}
	noGuard.once.Do(func() {
		g := &noGuard.guard
		_ = g.o.prepare()
		g.challenges = newChallenges(g.o.Realm, g.o.Extractors)
		g.prepareProblems()
	})
	return &noGuard.guard
}

var noGuard struct {
	once  sync.Once
	guard Guard
}

// Allowed reports whether the request may be served.
func (o *Outcome) Allowed() bool { return o.Code == apikey.OK && o.guard != nil }

// Ended reports how an admitted request ended, for the last use that the key's
// page shows: the final HTTP status, or 0 if it is not known, and the route, or
// "". Give a route if more is known than the Request said, for example the path
// where no pattern matched. Ended is for adapters that call [Guard.Check];
// doors call it themselves. It may be left out, and has an effect for about one
// request per flush.
func (o *Outcome) Ended(route string, status int) { o.sample.Ended(route, status) }

// Principal returns who an admitted request acts for. It is nil for a request
// without a key on a route where the key is optional, and for every refusal.
func (o *Outcome) Principal() *apikey.Principal {
	if o.Code != apikey.OK {
		return nil
	}
	return o.presented
}

// Presented returns the principal of the key that the request brought, admitted
// or not, for logs and metrics. It is nil unless the secret was right. It
// authorizes nothing.
func (o *Outcome) Presented() *apikey.Principal { return o.presented }

// Status returns the HTTP status of a refusal, and 200 otherwise.
func (o *Outcome) Status() int { return o.Code.Info().Status }

// RequestID names the request, as [Options.RequestID] says. The caller owns the
// text.
func (o *Outcome) RequestID(ctx context.Context, f Fields) string {
	return strings.Clone(o.of().requestID(ctx, f))
}

// Violated returns the names of the limits that refused the request, as
// clients see them.
func (o *Outcome) Violated() []string {
	var names []string
	for i := range o.Decision.N {
		if o.Decision.Windows[i].Violated {
			l, prefix := o.limit(i)
			names = append(names, prefix+l.Name)
		}
	}
	return names
}

// ownerPrefix distinguishes the names of owner-wide limits from the key's own.
const ownerPrefix = "owner-"

// limit returns the limit of window i of the decision.
func (o *Outcome) limit(i int) (limit apikey.Limit, prefix string) {
	own := o.verified.Limits()
	if i < len(own) {
		return own[i], ""
	}
	if i -= len(own); i < len(o.of().o.OwnerLimits) {
		return o.of().o.OwnerLimits[i], ownerPrefix
	}
	return apikey.Limit{}, ownerPrefix // the Decision was not made by a limiter
}

// unavailableRetry is how many seconds clients are told to wait when the store
// or the limiter cannot answer.
const unavailableRetry = 1

// RetryAfter returns the number of whole seconds after which a refused client
// should try again, at least 1, or 0 if waiting does not help.
func (o *Outcome) RetryAfter() int64 {
	switch {
	case o.Code == apikey.RateLimited && o.Decision.RetryAfter >= 0:
		return max(1, ceilSeconds(o.Decision.RetryAfter))
	case o.Code == apikey.Unavailable:
		return unavailableRetry
	}
	return 0
}

func ceilSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return max(0, s)
}
