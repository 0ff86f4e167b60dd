package middleware

import (
	"context"
	"iter"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/limiter"
)

// Outcome is what was decided about a request. The zero Outcome is a refusal as
// [apikey.Unavailable], so a decision that was forgotten admits nothing. It is a
// value that refers to the key's shared state: use it for one request.
type Outcome struct {
	code     apikey.Code // OK with a guard: admitted; OK without: no decision
	decision limiter.Decision

	guard     *Guard
	verified  engine.Verified
	set       *limitSet           // of the key and the route; nil: of the key alone
	owner     *limitSet           // of the key's owner; nil: none
	presented *apikey.Principal   // whose secret was right, if any
	need      *apikey.Requirement // of the route; nil: there is none
	client    netip.Addr
	facts     *facts // for OnDecision and OnCut; nil without
	cause     error
	entered   bool // the request is in flight
	// unknownHost says that the request's Host belongs to no environment.
	unknownHost bool
	varies      bool           // caches must look at the fields in which keys come
	private     bool           // the key came where shared caches do not look
	used        uint64         // the key's scopes that Need used
	sample      *engine.Sample // nil for all but one request per flush
}

// Refusal makes a refusal without a request, from an [apikey.Code] or from
// [context.Cause] of a context that ended with its key. An error that is no
// refusal, such as nil or [context.Canceled], becomes [apikey.Unavailable]. It
// knows nothing of a key, a route or a guard's options.
func Refusal(cause error) *Outcome {
	code := apikey.CodeOf(cause)
	if code > apikey.Unavailable {
		code = apikey.OK // as without a decision
	}
	return &Outcome{code: code, cause: cause}
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
func (o *Outcome) Allowed() bool { return o.code == apikey.OK && o.guard != nil }

// Code returns OK for an admitted request, and otherwise why it was refused.
func (o *Outcome) Code() apikey.Code {
	if o.code == apikey.OK && o.guard == nil {
		return apikey.Unavailable
	}
	return o.code
}

// Cause returns what ended the request after it had been admitted: the cause of
// its context, such as [apikey.RevokedKey]. It is nil if the request was not cut.
// Of a [Refusal] it is the error that it was made from.
func (o *Outcome) Cause() error { return o.cause }

// Client returns the client's address, as [Guard.ClientAddr] does. It is looked up
// for refusals, and for admitted requests only where [Options] has OnDecision or
// OnCut. It is not valid if it was not, or cannot be determined.
func (o *Outcome) Client() netip.Addr { return o.client }

// Route returns the route's pattern, as a router knows it, if it is known: of
// net/http the Pattern of the request, of other transports what their adapter
// says, which may be a path that the client chose ([Call.Matched]). It is looked up
// for OnDecision and OnCut.
func (o *Outcome) Route() string {
	if o.facts == nil {
		return ""
	}
	return o.facts.route
}

// Took returns how long the door needed for its decision, the limiter included.
// It is measured for OnDecision.
func (o *Outcome) Took() time.Duration {
	if o.facts == nil {
		return 0
	}
	return o.facts.took
}

// facts are what hooks may ask an Outcome, so that the Outcomes of guards without
// hooks have no room for them.
type facts struct {
	route string
	took  time.Duration
}

// learn sets the route where the decision was made before it was known.
func (o *Outcome) learn(route string) {
	if route != "" && o.facts != nil {
		o.facts = &facts{route, o.facts.took} // another copy of the Outcome may be read
	}
}

// Principal returns who an admitted request acts for. It is nil for a request
// without a key on a route where the key is optional, and for every refusal.
func (o *Outcome) Principal() *apikey.Principal {
	if o.code != apikey.OK {
		return nil
	}
	return o.presented
}

// Presented returns the principal of the key that the request brought, admitted
// or not, for logs and metrics. It is nil unless the secret was right. It
// authorizes nothing.
func (o *Outcome) Presented() *apikey.Principal { return o.presented }

// Status returns the HTTP status of a refusal, and 200 otherwise.
func (o *Outcome) Status() int { return o.Code().Info().Status }

// Title returns a few words for the code, the same for every refusal with it.
func (o *Outcome) Title() string { return o.Code().Info().Title }

// needs returns what the route requires.
func (o *Outcome) needs() (need apikey.Requirement) {
	if o.need != nil {
		need = *o.need
	}
	return need
}

// MissingScopes returns the scopes that the route requires and the key lacks, if
// that is why the request was refused. The caller owns the slice.
func (o *Outcome) MissingScopes() []string {
	if o.Code() != apikey.InsufficientScope {
		return nil
	}
	return o.needs().Missing(o.presented.Scopes())
}

// BaseURL returns where requests with the key are to be sent, if the request was
// refused because it was sent to another environment's host and the right one has
// a base URL.
func (o *Outcome) BaseURL() string {
	if o.Code() != apikey.EnvironmentMismatch {
		return ""
	}
	return o.verified.Environment().BaseURL
}

// RequestID names the request, as [Options.RequestID] says. The caller owns the
// text.
func (o *Outcome) RequestID(ctx context.Context, f Fields) string {
	return strings.Clone(o.of().requestID(ctx, f))
}

// Limits yields the limits that the limiter was asked about, the key's own first,
// then those of its route, under the names that clients see, with what is left of
// each. Those of an owner begin with "owner-". Shadows are among them, as are all
// limits of a Guard with [Options.Shadow].
func (o *Outcome) Limits() iter.Seq2[apikey.Limit, limiter.Status] {
	return func(yield func(apikey.Limit, limiter.Status) bool) {
		for i := range o.decision.N {
			l, prefix, shadow := o.limit(i)
			told := *l
			told.Name, told.Shadow = prefix+l.Name, shadow
			if !yield(told, o.decision.Windows[i]) {
				return
			}
		}
	}
}

// ShadowRefused reports whether the request would have been refused if the
// shadows among its limits were in force.
func (o *Outcome) ShadowRefused() bool {
	for l, left := range o.Limits() {
		if l.Shadow && left.Violated {
			return true
		}
	}
	return false
}

// violated returns the names of the limits that refused the request.
func (o *Outcome) violated() []string {
	var names []string
	for i := range o.decision.N {
		if l, prefix := o.refusedBy(i); l != nil {
			names = append(names, prefix+l.Name)
		}
	}
	return names
}

// ownerPrefix distinguishes the names of owner-wide limits from the key's own.
const ownerPrefix = "owner-"

// limit returns limit i of the decision, which is shared, and whether it is a
// shadow in this Guard.
func (o *Outcome) limit(i int) (l *apikey.Limit, prefix string, shadow bool) {
	own := o.keyLimits()
	switch {
	case i < len(own):
		l = &own[i]
	case o.owner != nil && i-len(own) < len(o.owner.limits):
		l, prefix = &o.owner.limits[i-len(own)], ownerPrefix
	default: // the Decision was not made by a limiter
		l = new(apikey.Limit)
	}
	return l, prefix, l.Shadow || o.of().o.Shadow
}

// refusedBy returns limit i of the decision if it refused the request, and nil
// otherwise.
func (o *Outcome) refusedBy(i int) (*apikey.Limit, string) {
	if o.decision.Windows[i].Violated {
		if l, prefix, shadow := o.limit(i); !shadow {
			return l, prefix
		}
	}
	return nil, ""
}

// unavailableRetry is how many seconds clients are told to wait when the store
// or the limiter cannot answer.
const unavailableRetry = 1

// RetryAfter returns the number of whole seconds after which a refused client
// should try again, at least 1, or 0 if waiting does not help, or if nobody knows
// how long: a request in progress has to end first.
func (o *Outcome) RetryAfter() int64 {
	switch code := o.Code(); {
	case code == apikey.RateLimited && o.decision.RetryAfter >= 0:
		return max(1, ceilSeconds(o.decision.RetryAfter))
	case code == apikey.Unavailable:
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
