package middleware

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// Route says what a route requires of a request.
type Route struct {
	// Need is what the key must be allowed: [AllOf], [AnyOf] or [AnyKey].
	// It is required; the zero Requirement is a mistake.
	Need apikey.Requirement
	// Cost is what a request takes from each limit without a unit; 0 means 1.
	Cost int64
	// Amounts are what a request takes from the limits with a unit: as much as it
	// may turn out to cost, which the handler corrects with [SetCost]. A limit whose
	// unit is not here does not concern the route.
	Amounts []limiter.Amount
	// Free says which statuses of a response cost nothing: what was charged is
	// given back at the end. 500 stands for a handler that panics before it
	// responds. It is not asked where the status is not known. An inner door's
	// replaces that of the doors around it.
	Free func(status int) bool
	// Limits are the route's own, for each key: in addition to the key's, and
	// decided in the same step. Routes that name the same limit
	// ([apikey.Limit.Same]) share its count. The same limit must not be in a plan
	// with another N; where it is among a key's own limits, the lower N applies. A
	// request has at most [limiter.MaxWindows] limits in all: one with more is
	// answered with 503.
	Limits []apikey.Limit
	// Optional admits requests without a key: their context has no principal. A
	// bad key is still refused.
	Optional bool
	// Others lets requests with somebody else's credential pass to the handler, which
	// has to check it: a JSON web token for middleware behind the door, for example.
	// Their context has no principal, and they are neither counted nor limited. A
	// credential is somebody else's if it is in a place where keys come, or in
	// Authorization, and no text there begins like a key of this service: a mistyped
	// key is refused. A request with no credential at all is refused, unless the
	// route is Optional as well.
	Others bool
}

// AllOf is [apikey.AllOf] for setting up a program: it panics on a mistake.
func AllOf(scopes ...string) apikey.Requirement { return must(apikey.AllOf(scopes...)) }

// AnyOf is [apikey.AnyOf] for setting up a program: it panics on a mistake.
func AnyOf(scopes ...string) apikey.Requirement { return must(apikey.AnyOf(scopes...)) }

func must(q apikey.Requirement, err error) apikey.Requirement {
	if err != nil {
		panic("middleware: " + err.Error())
	}
	return q
}

// AnyKey is [apikey.AnyKey]: any key will do, whatever its scopes.
func AnyKey() apikey.Requirement { return apikey.AnyKey() }

// Require guards handlers: a request needs a key that meets need. They find its
// principal with [PrincipalFrom].
//
//	mux.Handle("GET /v1/things", guard.Require(middleware.AllOf("things:read"))(listThings))
//
// Like [Guard.Door] it panics on the zero Requirement.
func (g *Guard) Require(need apikey.Requirement) func(http.Handler) http.Handler {
	return g.Door(Route{Need: need}).Wrap
}

// Door guards routes of one kind, on any transport. All other ways to guard a
// route are built on it.
type Door struct {
	guard   *Guard
	route   Route
	asks    limiter.Request  // what each request asks of limits, but for its demands
	costs   []limiter.Amount // the same as one list; see charge
	sets    limitSets
	keyOnly bool // requests have no limits but their key's
}

// Door returns the door for a route. It is for setting up a program, and panics
// on a mistake in the route, such as a scope that the service's catalogue does not
// offer.
func (g *Guard) Door(r Route) *Door {
	if r.Need.String() == "" && !r.Need.MetBy(nil) {
		panic("middleware: Route.Need: say what the route needs: AllOf, AnyOf, or AnyKey for any valid key")
	}
	if r.Cost < 0 {
		panic("middleware: Route.Cost: is negative")
	}
	g.mustBeKnown(r.Need)
	if err := g.checkLimits(&r); err != nil {
		panic("middleware: " + err.Error())
	}
	return &Door{
		guard: g, route: r, keyOnly: g.owners == nil && len(r.Limits) == 0,
		asks: limiter.Request{Cost: r.Cost, Amounts: r.Amounts, Shadow: g.o.Shadow}, costs: r.costs(),
	}
}

// checkLimits checks the amounts and limits of a route, and copies them.
func (g *Guard) checkLimits(r *Route) error {
	r.Amounts, r.Limits = slices.Clone(r.Amounts), slices.Clone(r.Limits)
	if len(r.Amounts) > limiter.MaxAmounts {
		return fmt.Errorf("Route.Amounts: %d units, at most %d are allowed", len(r.Amounts), limiter.MaxAmounts)
	}
	for i, a := range r.Amounts {
		if a.Unit == "" || a.N < 0 || indexUnit(r.Amounts[:i], a.Unit) >= 0 {
			return fmt.Errorf("Route.Amounts[%d]: name each unit once, with an amount that is not negative", i)
		}
		of := apikey.Limit{Name: "unit", N: 1, Window: time.Second, Unit: a.Unit}
		if err := of.Validate(); err != nil { // no limit could have it, and nothing would be charged
			return fmt.Errorf("Route.Amounts[%d].Unit: %w", i, err)
		}
	}
	if len(r.Limits) == 0 {
		return nil
	}
	if err := (apikey.Plan{Name: "route", Limits: r.Limits}).Validate(); err != nil {
		return fmt.Errorf("Route.Limits: %w", err)
	}
	plans, _ := g.keys.Plans(context.Background()) // a source that cannot tell now is not a mistake of the route
	for _, p := range plans {
		if n := len(together(p.Limits, r.Limits)) + len(g.o.OwnerLimits); n > limiter.MaxWindows {
			return fmt.Errorf("Route.Limits: with those of plan %q and of owners, a request has %d limits, at most %d are allowed", p.Name, n, limiter.MaxWindows)
		}
		for _, a := range p.Limits {
			for i, b := range r.Limits {
				if b.Shadow = a.Shadow; a.Name == b.Name && a != b {
					return fmt.Errorf("Route.Limits[%d].Name: plan %q has another limit %q: choose another name", i, p.Name, a.Name)
				}
			}
		}
	}
	return nil
}

// handler serves an admitted request. The principal is nil only if the route is
// Optional or a CORS preflight was let through.
type handler = func(w http.ResponseWriter, r *http.Request, p *apikey.Principal)

// Wrap guards a handler, which gets the principal with [PrincipalFrom]. When the
// key is revoked, disabled or expires, the context of its request is cancelled
// with the cause [apikey.RevokedKey], [apikey.DisabledKey] or
// [apikey.ExpiredKey].
func (d *Door) Wrap(h http.Handler) http.Handler {
	next := func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) { h.ServeHTTP(w, r) }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.Serve(w, r, next) })
}

// Serve decides a request, and either answers it or calls next. It is for
// adapters of frameworks built on net/http. An adapter with a router of its own
// sets r.Pattern, which is then shown with the key's last use. Serve panics
// with [http.ErrAbortHandler] when a response that had begun was cut; the panic
// must reach the server. The principal is nil only if the route is Optional, or lets Others pass, or a
// CORS preflight was let through. Serve returns OK for a request that was served,
// and otherwise the code with which it was refused, at the door or when it was
// cut; it has been answered in any case.
//
// Doors of one Guard may be nested: the request is then decided once for all of
// them. It costs as much as the most expensive door asks. If an inner door
// refuses it before the response has begun, it is charged nothing, counts as
// that refusal, and OnDecision sees that refusal alone. Once the response has
// begun, or the handler of an inner door has returned, it is too late: the
// request stays admitted and charged, whatever another door says, and what that
// door asks beyond is charged on top. Requests
// with another key, requests made after the end of this one, and requests
// decided by a door of another Guard are separate.
func (d *Door) Serve(w http.ResponseWriter, r *http.Request, next func(http.ResponseWriter, *http.Request, *apikey.Principal)) apikey.Code {
	g, ctx := d.guard, r.Context()
	switch outer := ctx.Value(guardKey{g}).(type) {
	case *passage:
		if code, same := d.serveInner(w, r, outer, next); same {
			return code
		}
	case *inspection:
		outer.found = &d.route
		return apikey.Unavailable
	}
	p := g.pockets.Get().(*pocket)
	c := p.call()
	var o Outcome
	var q ask
	q.of(r)
	q.door, q.flight, q.cutter = d, c.flight(), c.cutter()
	q.observed(g)
	if g.o.PreflightCORS && isPreflight(&q.Request) {
		g.pockets.Put(p)
		next(w, r, nil)
		return apikey.OK
	}
	c.w.under, c.w.original, c.w.door, c.w.parent = w, r, d, ctx
	g.check(ctx, &q, &o)
	if o.entered {
		p.used()
	}
	if o.varies || o.private {
		g.shield(w.Header(), &o)
	}
	switch {
	case o.code != apikey.OK:
		p.unused(c)
		g.report(ctx, &o)
		g.answer(p, w, r, &o)
		g.pockets.Put(p)
		return o.code
	case o.presented == nil: // the route is Optional, or lets Others pass
		p.unused(c)
		g.pockets.Put(p)
		g.serveUnkeyed(w, r, &o, next)
	default:
		if o.decision.N > 0 {
			h := w.Header()
			c.w.framedByOthers(h)
			p.announce(h, &o, c.fields[:1:1], c.fields[1:])
		}
		g.pockets.Put(p)
		c.w.admitted(&o, &c.req)
		if o.sample != nil {
			c.runSampled(o.sample, next)
		} else {
			c.run(next)
			c.conclude()
		}
		if s := c.w.state.Load(); s&cut != 0 {
			return s.code()
		}
	}
	return apikey.OK
}

// shield keeps responses from shared caches that do not know the key. Caches
// skip requests with Authorization anyway (RFC 9111, section 3.5), but they may
// serve a response made without a key to a request with one.
func (g *Guard) shield(h http.Header, o *Outcome) {
	if o.varies {
		addVary(h, g.vary)
	}
	if o.private {
		h.Set("Cache-Control", "private")
	}
}

// addVary leaves what others have set.
func addVary(h http.Header, fields string) {
	if fields != "" && !slices.Contains(h["Vary"], fields) {
		h.Add("Vary", fields)
	}
}

func isPreflight(r *Request) bool {
	return r.Method == http.MethodOptions &&
		len(r.Fields.Values("Origin")) > 0 && len(r.Fields.Values("Access-Control-Request-Method")) > 0
}
