package middleware

import (
	"net/http"

	"github.com/wontopos/latchkey/apikey"
)

// Route says what a route requires of a request.
type Route struct {
	// Need is what the key must be allowed: [AllOf], [AnyOf] or [apikey.AnyKey].
	// It is required; the zero Requirement is a mistake.
	Need apikey.Requirement
	// Cost is what a request takes from each limit; 0 means 1.
	Cost int64
	// Optional admits requests without a key: their context has no principal. A
	// bad key is still refused.
	Optional bool
}

// Handler serves an admitted request. The principal is nil only if the route is
// Optional or a CORS preflight was let through.
//
// When the key is revoked, disabled or expires, r.Context() is cancelled with
// the cause [apikey.RevokedKey], [apikey.DisabledKey] or [apikey.ExpiredKey].
type Handler func(w http.ResponseWriter, r *http.Request, p *apikey.Principal)

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

// Require guards a handler: a request needs a key with all of the scopes. It is
// for setting up a program and panics without scopes or on a bad one; for a
// route open to any key, use [Guard.AnyKey].
func (g *Guard) Require(scopes ...string) func(http.Handler) http.Handler {
	return g.Door(Route{Need: AllOf(scopes...)}).Wrap
}

// RequireAny guards a handler: a request needs a key with at least one of the
// scopes.
func (g *Guard) RequireAny(scopes ...string) func(http.Handler) http.Handler {
	return g.Door(Route{Need: AnyOf(scopes...)}).Wrap
}

// AnyKey guards a handler: a request needs a key, whatever its scopes.
func (g *Guard) AnyKey() func(http.Handler) http.Handler {
	return g.Door(Route{Need: apikey.AnyKey()}).Wrap
}

// HandlerFunc makes an http.Handler of a handler that takes the principal as an
// argument.
func (g *Guard) HandlerFunc(need apikey.Requirement, h Handler) http.Handler {
	return g.Door(Route{Need: need}).WrapFunc(h)
}

// Door guards routes of one kind. All other ways to guard a net/http handler
// are built on it.
type Door struct {
	guard *Guard
	route Route
}

// Door returns the door for a route. Like [Guard.Require] it panics on a
// mistake in the route.
func (g *Guard) Door(r Route) *Door {
	if r.Need.String() == "" && !r.Need.MetBy(nil) {
		panic("middleware: Route.Need: say what the route needs: AllOf, AnyOf, or apikey.AnyKey for any valid key")
	}
	if r.Cost < 0 {
		panic("middleware: Route.Cost: is negative")
	}
	return &Door{g, r}
}

// Wrap guards a handler, which gets the principal with [PrincipalFrom].
func (d *Door) Wrap(h http.Handler) http.Handler {
	return d.WrapFunc(func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) { h.ServeHTTP(w, r) })
}

// WrapFunc guards a Handler.
func (d *Door) WrapFunc(h Handler) http.Handler { return guarded{d, h} }

type guarded struct {
	*Door
	next Handler
}

func (h guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.Serve(w, r, h.next) }

// Serve decides a request, and either answers it or calls next. It is for
// adapters of frameworks built on net/http. An adapter with a router of its own
// sets r.Pattern, which is then shown with the key's last use. Serve panics
// with [http.ErrAbortHandler] when a response that had begun was cut; the panic
// must reach the server.
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
func (d *Door) Serve(w http.ResponseWriter, r *http.Request, next Handler) {
	g, ctx := d.guard, r.Context()
	if outer := g.outermost(ctx); outer != nil && d.serveInner(w, r, outer, next) {
		return
	}
	if g.o.PreflightCORS && isPreflight(r) {
		next(w, r, nil)
		return
	}

	p := g.pockets.Get().(*pocket)
	c := p.call()
	c.w.under, c.w.original, c.w.guard = w, r, g
	var o Outcome
	g.check(ctx, &Request{
		Fields: headerFields(r.Header), RawQuery: r.URL.RawQuery, Host: r.Host, Peer: r.RemoteAddr,
		Method: r.Method, Pattern: r.Pattern,
		Need: d.route.Need, Cost: d.route.Cost, Optional: d.route.Optional,
		Flight: c.flight(), Cutter: c.cutter(),
	}, &o)
	if o.entered {
		p.used()
	}
	if d.route.Optional || g.o.private {
		g.shield(d, w.Header(), &o)
	}
	switch {
	case o.Code != apikey.OK:
		p.unused(c)
		g.report(ctx, &o)
		g.answer(p, w, r, &o)
		g.pockets.Put(p)
	case o.presented == nil: // the route is Optional
		p.unused(c)
		g.pockets.Put(p)
		g.serveUnkeyed(w, r, &o, next)
	default:
		if o.Decision.N > 0 {
			h := w.Header()
			c.w.framedByOthers(h)
			p.announce(h, &o, c.fields[:1:1], c.fields[1:])
		}
		g.pockets.Put(p)
		c.w.cost = max(d.route.Cost, 1)
		c.w.charged = o.Decision.Allowed && o.Decision.N > 0
		c.w.chargedAt = o.Decision.At
		c.w.used = o.used
		if g.o.OnDecision != nil || o.sample != nil {
			c.w.holdBack(&o)
		}
		if o.sample != nil {
			c.runSampled(o.sample, next)
			return
		}
		c.run(next)
		c.conclude()
	}
}

// shield keeps responses from shared caches that do not know the key. Caches
// skip requests with Authorization anyway (RFC 9111, section 3.5), but they may
// serve a response made without a key to a request with one.
func (g *Guard) shield(d *Door, h http.Header, o *Outcome) {
	if d.route.Optional {
		for _, e := range g.o.Extractors {
			if field := e.field(); field != "" {
				h.Add("Vary", field)
			}
		}
	}
	if g.o.private && o.presented != nil {
		h.Set("Cache-Control", "private")
	}
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) > 0 && len(r.Header["Access-Control-Request-Method"]) > 0
}
