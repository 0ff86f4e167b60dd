package middleware

import (
	"context"
	"net/http"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
)

// inside decides a request that outer has admitted, at a door inside. same is
// false if this is a different request: a handler may use its context for
// requests with other keys, or after its own request has ended. direct says that
// a refusal will be the response. seen is the key as this door found it; a
// refusal of a request that has been cut has a cause.
func (d *Door) inside(ctx context.Context, q *ask, outer *passage, direct bool, o *Outcome) (seen engine.Verified, raised, same bool) {
	g := d.guard
	o.guard, o.need = g, &d.route.Need
	g.unstrip(&q.Request, outer)
	token, code := g.credential(&q.Request)
	if code != apikey.OK || outer.state.Load()&over != 0 {
		return seen, false, false
	}
	admitted := outer.flight.Verified()
	switch code = g.verify(ctx, token, o); {
	case code == apikey.Unavailable: // nobody can tell whose key it is
	case o.presented.KeyID() != admitted.KeyID():
		return seen, false, false
	}
	if code == apikey.OK {
		code = g.permits(q, o)
	}
	seen = o.verified
	first := outer.outcome() // its limits apply
	o.verified, o.set, o.owner = admitted, first.set, first.owner
	if o.presented == nil {
		o.presented = admitted.Principal()
	}
	if s := outer.state.Load(); s&cut != 0 { // it has been refused, and its handler should return
		o.code, o.cause = s.code(), s.cause()
		g.addFacts(q, o)
		return seen, false, true
	}
	if code == apikey.OK {
		raised, code = outer.raise(ctx, d, o)
	}
	if o.code = code; code == apikey.OK {
		outer.drop()
		outer.freeBy(d.route.Free)
	}
	g.addFacts(q, o)
	return seen, raised, true
}

// serveInner is Serve for a request that is already in flight; same is false if
// this is a different request. The code is that of this door: a cut is told of by
// the outermost one.
func (d *Door) serveInner(w http.ResponseWriter, r *http.Request, outer *passage, next handler) (code apikey.Code, same bool) {
	g, direct := d.guard, outer.leadsTo(w)
	q, o := ask{door: d}, Outcome{}
	q.of(r)
	q.observed(g)
	seen, raised, same := d.inside(r.Context(), &q, outer, direct, &o)
	switch {
	case !same:
		return apikey.OK, false
	case o.cause != nil:
		g.refuse(w, r, &o)
		return o.code, true
	case o.code != apikey.OK:
		outer.refuse(w, r, direct, &o)
		return o.code, true
	}
	if raised {
		g.announce(w.Header(), &o)
	}
	defer outer.serves(seen, o.used)
	next(w, r, o.presented)
	return apikey.OK, true
}

// self finds the passage of the guard's writer in any of its views.
func (w *plainWriter) self() *passage { return &w.passage }

// leadsTo reports whether what is written to rw is the request's response, as
// far as writers can be unwrapped.
func (p *passage) leadsTo(rw http.ResponseWriter) bool {
	for rw != nil {
		if own, ok := rw.(interface{ self() *passage }); ok && own.self() == p {
			return true
		}
		u, ok := rw.(unwrapper)
		if !ok {
			return false
		}
		rw = u.Unwrap()
	}
	return false
}

// refuse answers a request that an inner door does not admit.
func (p *passage) refuse(rw http.ResponseWriter, r *http.Request, direct bool, o *Outcome) {
	n := p.more()
	switch late := p.decline(r.Context(), n, direct, o); {
	case late:
	case direct:
		p.tell(r.Context(), n)
	default:
		defer n.written()
	}
	p.door.guard.refuse(rw, r, o)
}

// settled is called when the response begins, with its status, or when the
// handler has returned without one. The decision is then final.
func (w *plainWriter) settled(status int) {
	n := w.nested.Load()
	final, instead := w.finish(n, status)
	if instead != nil {
		w.door.guard.announce(w.under.Header(), instead)
	}
	if final {
		w.tell(w.parent, n)
	}
}

// announce sets the rate-limit fields again.
func (g *Guard) announce(h http.Header, o *Outcome) {
	if o.decision.N > 0 {
		p := g.pockets.Get().(*pocket)
		p.announce(h, o, p.one(""), p.one(""))
		g.pockets.Put(p)
	}
}
