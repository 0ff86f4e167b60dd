package middleware

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// Outcome is what [Guard.Check] decided. The zero Outcome is none: it is not
// Allowed, and has no principal. It is a value that refers to the key's shared state: use
// it for one request.
type Outcome struct {
	// Code is OK for an admitted request. Its row in [apikey.Code.Info] is
	// how a refusal looks on each wire.
	Code apikey.Code
	// Decision is the limiter's; zero when it was not asked.
	Decision limiter.Decision

	guard     *Guard
	verified  apikey.Verified
	presented *apikey.Principal // whose secret was right, if any was
	need      apikey.Requirement
	entered   bool // the flight
	// unknownHost says that the request's Host belongs to no environment.
	unknownHost bool
	used        apikey.ScopeSet // that Need took of the key's
	sample      *apikey.Sample  // nil for all but one request in a flush
}

// of returns the guard that decided. What nobody decided speaks as a guard with
// the options that are the defaults.
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

// Ended tells how an admitted request ended, for the last use that the key's page
// shows: the final HTTP status, 0 when it is not known, and what was asked, if
// more is known of that than the Request said (a path, where no pattern matched),
// or "". It is for adapters that call [Guard.Check]; doors do it themselves. It
// may be left out, and does something for about one request in a flush.
func (o *Outcome) Ended(route string, status int) { o.sample.Ended(route, status) }

// Principal returns who an admitted request acts for; nil when it came without
// a key to a route where that is optional, and for every refusal.
func (o *Outcome) Principal() *apikey.Principal {
	if o.Code != apikey.OK {
		return nil
	}
	return o.presented
}

// Presented returns whose key the request brought, admitted or not, for logs
// and metrics. It is nil unless the secret was right. It authorizes nothing.
func (o *Outcome) Presented() *apikey.Principal { return o.presented }

// Status returns the HTTP status of a refusal, and 200 otherwise.
func (o *Outcome) Status() int { return o.Code.Info().Status }

// RequestID names the request, as [Options.RequestID] says. The text is the
// caller's.
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

// ownerPrefix sets the names of owner-wide limits apart from the key's own.
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
	return apikey.Limit{}, ownerPrefix // a Decision that somebody made up
}

// unavailableRetry is what clients are told to wait when the store or the
// limiter cannot answer.
const unavailableRetry = 1

// RetryAfter returns the whole seconds after which a refused client should try
// again, at least 1; 0 when waiting does not help.
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
