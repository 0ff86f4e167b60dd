package middleware

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/limiter"
)

// Doors of one guard may be nested: one around a group of routes, one around a
// route. The request is decided once for all of them. The outermost door
// charges it and enters it, and the charge stays open until the response
// begins, or a handler behind an inner door has served it. Until then, an inner
// door that refuses gives the charge back, and the request counts as that
// refusal; an inner door that asks for more charges the difference. Afterwards the
// request counts as admitted, whatever happens.
//
// An inner door answers in one of two ways. If its writer leads to the
// outermost door's, its refusal is the response. If not, as inside
// http.TimeoutHandler, where a handler tries a route with a recorder, and on
// other transports, the refusal stands if the response begins with an error. It is dropped if the
// handler answers anyway, or if another door admits the request afterwards.

// nested is what a request needs besides its passage when a decision about it is
// still to be reported, an inner door has changed it, or more than a time is to be
// remembered of its charge.
type nested struct {
	*tab                    // final before the handler runs; nil for most requests
	mu     sync.Mutex       // held while the limiter is asked, which ends with the context
	raised []charge         // what inner doors charged on top of the outermost one
	costs  []limiter.Amount // the highest of the doors so far, by unit; see charge; not changed in place
	set    *limitSet        // the limits of the key and of the doors so far, if inner ones had some of their own
	spent  []limiter.Amount // what the handler says about costs; the empty unit is the cost
	free   func(status int) bool
	// pending is the refusal of an inner door whose answer may not become the
	// response; refusing is true while that answer is being written.
	pending  *Outcome
	refusing bool
	report   *Outcome      // for OnDecision; nil once it was told, or without OnDecision
	admitted *Outcome      // what report is at first
	served   *http.Request // whose pattern a mux may set later; nil for other transports than net/http
}

// more returns the request's nested, which it makes if there is none.
func (p *passage) more() *nested {
	if n := p.nested.Load(); n != nil {
		return n
	}
	n := p.newNested()
	if !p.nested.CompareAndSwap(nil, n) {
		return p.nested.Load()
	}
	return n
}

func (p *passage) newNested() *nested {
	n := &nested{costs: p.door.costs}
	if !p.charged {
		n.costs = slices.Clone(n.costs)
		for i := range n.costs {
			n.costs[i].N = 0
		}
	}
	return n
}

// holdBack keeps the outermost door's decision until it is final, for
// OnDecision.
func (p *passage) holdBack(o *Outcome, served *http.Request) {
	n, admitted := p.more(), *o
	n.served, n.admitted, n.report = served, &admitted, &admitted
	p.state.Or(undecided)
	p.door.guard.speaks(p.parent)
}

// serves is called when the handler behind an inner door has returned. Unless
// the request was refused inside it, it is served for good, with the scopes
// that admitted it.
func (p *passage) serves(v engine.Verified, used uint64) {
	if p.state.Load()&withdrawn != 0 || p.pends() {
		return
	}
	p.state.Or(served)
	v.Used(used)
}

// pends reports whether a refusal may still become the request's decision.
func (p *passage) pends() bool {
	n := p.nested.Load()
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pending != nil
}

// decline makes a refusal that is the response the request's decision, and keeps
// any other for settled, unless it is too late. The limiter may panic: then
// release finds n unlocked, and the refusal as what is to be reported.
func (p *passage) decline(ctx context.Context, n *nested, direct bool, o *Outcome) (late bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	late = p.state.Load()&(sent|served|over) != 0
	switch {
	case late:
	case direct:
		if n.report = nil; p.door.guard.o.OnDecision != nil {
			n.report = o
		}
		p.withdraw(ctx, n, o)
		p.state.clear(undecided)
	default:
		copied := *o
		n.pending, n.refusing = &copied, true
		p.state.Or(undecided)
	}
	return late
}

// written is called when a pending refusal has been written, wherever to.
func (n *nested) written() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refusing = false
}

// drop forgets the refusal of an inner door, because another one admits the
// request: whatever its handler answers, the request is served.
func (p *passage) drop() {
	if p.state.Load()&undecided == 0 {
		return
	}
	n := p.nested.Load()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending = nil
}

// finish makes the decision final, when the response begins with status or the
// handler has returned without one; false if another goroutine was quicker. If
// the refusal of an inner door becomes the decision, finish returns it. If the
// limiter panics, the decision stays to be reported at the end.
func (p *passage) finish(n *nested, status int) (final bool, instead *Outcome) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.state.Load()&undecided == 0 {
		return false, nil
	}
	if o := n.pending; o != nil && (n.refusing || status >= 400) {
		if n.report != nil {
			n.report = o
		}
		p.withdraw(p.parent, n, o)
		instead = o
	}
	n.pending = nil
	p.state.clear(undecided)
	return true, instead
}

// tell calls OnDecision, unless it has been called.
func (p *passage) tell(ctx context.Context, n *nested) {
	n.mu.Lock()
	o := n.report
	n.report = nil
	n.mu.Unlock()
	if o != nil {
		if n.served != nil && o.Route() == "" {
			o.learn(n.served.Pattern)
		}
		p.door.guard.o.OnDecision(ctx, *o)
	}
}

// withdraw turns an admitted request into the refusal o: it gives back what was
// charged, and changes the count. n is locked.
func (p *passage) withdraw(ctx context.Context, n *nested, o *Outcome) {
	if p.state.Or(withdrawn)&withdrawn != 0 {
		return
	}
	p.flight.Verified().Recount(o.code, p.sample)
	after, first := p.settle(ctx, n, true), p.outcome()
	switch extra := o.decision.N - after.N; {
	case after.N == 0:
	case o.code != apikey.RateLimited:
		o.decision, o.set, o.owner = after, first.set, first.owner
	case extra >= 0: // it keeps which limit refused, and until when
		for i := range after.N {
			s := &o.decision.Windows[i]
			if i >= len(first.keyLimits()) { // the limits of inner doors come before those of the owner
				s = &o.decision.Windows[i+extra]
			}
			s.Remaining, s.Reset = after.Windows[i].Remaining, after.Windows[i].Reset
		}
	}
}
