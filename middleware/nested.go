package middleware

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/limiter"
)

// Doors of one guard may be nested: one around a group of routes, one around a
// route. The request is decided once for all of them. The outermost door
// charges it and enters it, and the charge stays open until the response
// begins, or a handler behind an inner door has served it. Until then, an inner
// door that refuses gives the charge back, and the request counts as that
// refusal; an inner door that costs more raises the charge. Afterwards the
// request counts as admitted, whatever happens.
//
// An inner door answers in one of two ways. If its writer leads to the
// outermost door's, its refusal is the response. If not, as inside
// http.TimeoutHandler or where a handler tries a route with a recorder, the
// refusal stands if the response begins with an error. It is dropped if the
// handler answers anyway, or if another door admits the request afterwards.

// nested is what a request needs besides its call when a decision about it is
// still to be reported, or an inner door has changed it.
type nested struct {
	mu      sync.Mutex // held while the limiter is asked, which ends with the context
	charges []charge   // everything that the limiter charged
	cost    int64      // the highest cost of the doors so far
	// pending is the refusal of an inner door whose answer may not become the
	// response; refusing is true while that answer is being written.
	pending  *Outcome
	refusing bool
	sample   *engine.Sample
	report   *Outcome // for OnDecision; nil once it was told, or without OnDecision
	admitted Outcome  // what report points to at first
}

// charge is what the limiter charged at an instant of its own clock.
type charge struct{ at, cost int64 }

// giveBackTimeout bounds a round trip made for a request whose client may be
// gone.
const giveBackTimeout = time.Second

// self finds the call's writer in any of its views.
func (w *plainWriter) self() *plainWriter { return w }

// leadsTo reports whether what is written to rw reaches w, as far as writers
// can be unwrapped.
func (w *plainWriter) leadsTo(rw http.ResponseWriter) bool {
	for rw != nil {
		if own, ok := rw.(interface{ self() *plainWriter }); ok && own.self() == w {
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

// more returns the request's nested, which it makes if there is none.
func (w *plainWriter) more() *nested {
	if n := w.nested.Load(); n != nil {
		return n
	}
	n := new(nested)
	w.holdOn(n)
	if !w.nested.CompareAndSwap(nil, n) {
		return w.nested.Load()
	}
	return n
}

// holdOn records in n what the outermost door charged.
func (w *plainWriter) holdOn(n *nested) {
	n.cost = w.cost
	if w.charged {
		n.charges = []charge{{w.chargedAt, w.cost}}
	}
}

// holdBack keeps the outermost door's decision until it is final.
func (w *plainWriter) holdBack(o *Outcome) {
	n := &nested{sample: o.sample}
	w.holdOn(n)
	if w.guard.o.OnDecision != nil {
		n.admitted = *o
		n.report = &n.admitted
		w.state.Or(undecided)
		w.guard.speaks(w.original.Context())
	}
	w.nested.Store(n)
}

// outermost returns the call with which the guard admitted the request, or nil
// if this is the first of its doors.
func (g *Guard) outermost(ctx context.Context) *plainWriter {
	outer, _ := ctx.Value(guardKey{g}).(*plainWriter)
	return outer
}

// serveInner is Serve for a request that is already in flight. It reports false
// if this is a different request: a handler may use its context for requests
// with other keys, or after its own request has ended.
func (d *Door) serveInner(w http.ResponseWriter, r *http.Request, outer *plainWriter, next Handler) bool {
	g, ctx := d.guard, r.Context()
	q := Request{Fields: headerFields(r.Header), RawQuery: r.URL.RawQuery, Host: r.Host, Peer: r.RemoteAddr, Need: d.route.Need}
	o := Outcome{guard: g, need: d.route.Need}
	g.unstrip(&q, outer)
	token, code := g.credential(&q)
	if code != apikey.OK || outer.state.Load()&over != 0 {
		return false
	}
	admitted := outer.flight.Verified()
	switch code = g.verify(ctx, token, &o); {
	case code == apikey.Unavailable: // nobody can tell whose key it is
	case o.presented.KeyID() != admitted.KeyID():
		return false
	}
	if code == apikey.OK {
		code = g.permits(&q, &o)
	}
	newest := o.verified
	o.verified = admitted // its limits apply
	if o.presented == nil {
		o.presented = admitted.Principal()
	}
	if s := outer.state.Load(); s&cut != 0 { // it has been refused, and its handler should return
		o.Code = s.code()
		g.refuse(w, r, &o)
		return true
	}
	raised := false
	if code == apikey.OK {
		raised, code = outer.raise(ctx, max(d.route.Cost, 1), outer.leadsTo(w), &o)
	}
	if o.Code = code; code != apikey.OK {
		outer.refuse(w, r, &o)
		return true
	}
	outer.drop()
	if raised {
		g.announce(w.Header(), &o)
	}
	defer outer.serves(newest, o.used)
	next(w, r, o.presented)
	return true
}

// serves is called when the handler behind an inner door has returned. Unless
// the request was refused inside it, it is served for good, with the scopes
// that admitted it.
func (w *plainWriter) serves(v engine.Verified, used uint64) {
	if w.state.Load()&withdrawn != 0 || w.pends() {
		return
	}
	w.state.Or(served)
	v.Used(used)
}

// pends reports whether a refusal may still become the request's decision.
func (w *plainWriter) pends() bool {
	n := w.nested.Load()
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pending != nil
}

// raise makes the request cost what an inner door asks, if that is more than
// all before it. If the limits refuse, raise leaves it to refuse to give back
// what is still charged.
func (w *plainWriter) raise(ctx context.Context, cost int64, direct bool, o *Outcome) (raised bool, code apikey.Code) {
	if cost <= w.cost { // true of most inner doors
		return false, apikey.OK
	}
	n, g := w.more(), w.guard
	n.mu.Lock()
	defer n.mu.Unlock()
	if cost <= n.cost {
		return false, apikey.OK
	}
	if !g.limited(o) {
		n.cost = cost
		return false, apikey.OK
	}
	demand := limiter.Request{Demands: g.demand(new(demands), o)}
	var err error
	whole := direct && len(n.charges) == 1 && w.state.Load()&(sent|served) == 0
	if whole {
		whole, err = g.settle(ctx, &demand, n.charges[0], cost, o)
	}
	switch {
	case !whole:
		err = g.takeMore(ctx, &demand, n, cost, o)
	case err == nil: // a refused raise, too, leaves nothing charged
		n.charges = nil
	}
	if code = g.decided(ctx, err, o); code == apikey.OK {
		n.cost = cost
	}
	if err == nil && o.Decision.Allowed {
		charged := cost
		for _, c := range n.charges {
			charged -= c.cost
		}
		n.charges = append(n.charges, charge{o.Decision.At, charged})
		if n.report != nil {
			n.report.Decision = o.Decision
		}
	}
	return code == apikey.OK && o.Decision.N > 0, code
}

// takeMore charges the difference separately, where the existing charge cannot
// or must not be changed. After a refusal the decision describes the whole
// cost, because that much must fit when the client tries again.
func (g *Guard) takeMore(ctx context.Context, demand *limiter.Request, n *nested, cost int64, o *Outcome) error {
	demand.Cost = cost
	for _, c := range n.charges {
		demand.Cost -= c.cost
	}
	if err := g.take(ctx, demand, o); err != nil || o.Decision.Allowed {
		return err
	}
	demand.Cost = cost
	if whole, err := g.limiter.Peek(ctx, *demand); err == nil && !whole.Allowed && whole.N == o.Decision.N {
		o.Decision = whole
	}
	return nil
}

// settle changes what a request was charged; false if the limiter cannot.
func (g *Guard) settle(ctx context.Context, demand *limiter.Request, c charge, cost int64, o *Outcome) (bool, error) {
	if g.settler == nil || c.at == 0 {
		return false, nil
	}
	demand.Cost = c.cost
	d, err := g.settler.Settle(ctx, *demand, limiter.Decision{At: c.at}, cost)
	if errors.Is(err, errors.ErrUnsupported) {
		return false, nil
	}
	if err = asked(demand, &d, err); err == nil {
		o.Decision = d
	}
	return true, err
}

// refuse answers a request that an inner door does not admit.
func (w *plainWriter) refuse(rw http.ResponseWriter, r *http.Request, o *Outcome) {
	n := w.more()
	switch direct, late := w.decline(r.Context(), n, rw, o); {
	case direct:
		w.tell(r.Context(), n)
	case !late:
		defer n.written()
	}
	w.guard.refuse(rw, r, o)
}

// decline makes a refusal that is the response the request's decision, and keeps
// any other for settled, unless it is too late. The limiter may panic: then
// release finds n unlocked, and the refusal as what is to be reported.
func (w *plainWriter) decline(ctx context.Context, n *nested, rw http.ResponseWriter, o *Outcome) (direct, late bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	late = w.state.Load()&(sent|served|over) != 0
	direct = !late && w.leadsTo(rw)
	switch {
	case direct:
		if n.report = nil; w.guard.o.OnDecision != nil {
			n.report = o
		}
		w.withdraw(ctx, n, o)
		w.state.clear(undecided)
	case !late:
		copied := *o
		n.pending, n.refusing = &copied, true
		w.state.Or(undecided)
	}
	return direct, late
}

// written is called when a pending refusal has been written, wherever to.
func (n *nested) written() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refusing = false
}

// drop forgets the refusal of an inner door, because another one admits the
// request: whatever its handler answers, the request is served.
func (w *plainWriter) drop() {
	if w.state.Load()&undecided == 0 {
		return
	}
	n := w.nested.Load()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending = nil
}

// settled is called when the response begins, with its status, or when the
// handler has returned without one. The decision is then final.
func (w *plainWriter) settled(status int) {
	n, ctx := w.nested.Load(), w.original.Context()
	if w.finish(ctx, n, status) {
		w.tell(ctx, n)
	}
}

// finish makes the decision final; false if another goroutine was quicker.
// If the limiter panics, the decision stays to be reported by release.
func (w *plainWriter) finish(ctx context.Context, n *nested, status int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w.state.Load()&undecided == 0 {
		return false
	}
	if o := n.pending; o != nil && (n.refusing || status >= 400) {
		if n.report != nil {
			n.report = o
		}
		w.withdraw(ctx, n, o)
		w.guard.announce(w.under.Header(), o)
	}
	n.pending = nil
	w.state.clear(undecided)
	return true
}

// tell calls OnDecision, unless it has been called.
func (w *plainWriter) tell(ctx context.Context, n *nested) {
	n.mu.Lock()
	o := n.report
	n.report = nil
	n.mu.Unlock()
	if o != nil {
		w.guard.o.OnDecision(ctx, *o)
	}
}

// withdraw turns an admitted request into the refusal o: it gives back what was
// charged, and changes the count. n is locked.
func (w *plainWriter) withdraw(ctx context.Context, n *nested, o *Outcome) {
	if w.state.Or(withdrawn)&withdrawn != 0 {
		return
	}
	g := w.guard
	w.flight.Verified().Recount(o.Code, n.sample)
	if len(n.charges) == 0 || !g.limited(o) {
		return
	}
	demand := limiter.Request{Demands: g.demand(new(demands), o)}
	ctx = context.WithoutCancel(ctx)
	if g.window == nil { // it may make a round trip
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, giveBackTimeout)
		defer cancel()
	}
	for _, c := range n.charges {
		back := Outcome{}
		can, err := g.settle(ctx, &demand, c, 0, &back)
		switch {
		case !can:
			g.unsettled.Do(func() {
				g.o.Logger.Warn("the limiter cannot give back what a request was charged: one that an inner door refuses stays charged (see limiter.Settler)")
			})
		case err != nil:
			g.complaint.say(g, err)
		case o.Code == apikey.RateLimited: // it keeps which window refused, and until when
			for i := range o.Decision.N {
				o.Decision.Windows[i].Remaining, o.Decision.Windows[i].Reset = back.Decision.Windows[i].Remaining, back.Decision.Windows[i].Reset
			}
		default:
			o.Decision = back.Decision
		}
	}
	n.charges = nil
}

// announce sets the rate-limit fields again.
func (g *Guard) announce(h http.Header, o *Outcome) {
	if o.Decision.N > 0 {
		p := g.pockets.Get().(*pocket)
		p.announce(h, o, p.one(""), p.one(""))
		g.pockets.Put(p)
	}
}
