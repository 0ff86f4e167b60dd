package middleware

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
)

// passage is an admitted request with a key, from its decision to its end,
// whatever its transport: its entry among the requests in flight, what it was
// charged, and the word on which its handler and a cut agree. A [Call] holds
// one, and so does an [httpCall].
type passage struct {
	door     *Door // the outermost one
	parent   context.Context
	original *http.Request // as the server made it; nil for a Call that has stripped none
	inner    atomic.Pointer[innerContext]
	nested   atomic.Pointer[nested]
	flight   engine.Flight

	// What the outermost door charged, and what else inner doors need to know.
	chargedAt int64
	used      uint64         // scopes
	sample    *engine.Sample // nil for all but one request per flush
	state     atomicState
	charged   bool
	missed    uint8 // see charge
}

// tab is what few passages have to remember of their charge.
type tab struct {
	slot  uint64    // among the requests in progress
	owner *limitSet // with a source of owners' plans
}

// outermost returns the passage with which the guard admitted the request, or
// nil if this is the first of its doors.
func (g *Guard) outermost(ctx context.Context) *passage {
	outer, _ := ctx.Value(guardKey{g}).(*passage)
	return outer
}

// decidesAgain logs, once, that a request comes to this Guard after another one of
// the same service has admitted it.
func (g *Guard) decidesAgain(p *passage) {
	if g.keys != p.door.guard.keys {
		return
	}
	g.again.Do(func() {
		pattern := ""
		if p.original != nil {
			pattern = p.original.Pattern
		}
		g.o.Logger.Warn("two Guards of one service decide the same request, which is charged and counted twice: "+
			"use one Guard for both doors", "route", pattern)
	})
}

// admitted notes what the outermost door decided. served is what the handler will
// get; nil for other transports than net/http.
func (p *passage) admitted(o *Outcome, served *http.Request) {
	p.used, p.sample = o.used, o.sample
	d, owners := &o.decision, p.door.guard.owners
	if d.Allowed && d.N > 0 {
		p.charged, p.chargedAt, p.missed = true, d.At, missed(d)
		if d.Slot != 0 || p.door.route.Free != nil {
			p.state.Or(owing)
		}
	}
	if d.Slot != 0 || owners != nil && owners.source != nil { // after charged, which more reads
		p.more().tab = &tab{d.Slot, o.owner}
	}
	if p.door.guard.o.OnDecision != nil {
		p.holdBack(o, served)
	}
}

// served counts the scopes that an ended request used, unless an inner door
// refused it.
func (p *passage) served() {
	if p.state.Load()&withdrawn == 0 {
		p.flight.Verified().Used(p.used)
	}
}

// cut marks the request and cancels its context.
func (p *passage) cut(cause error) {
	code := apikey.CodeOf(cause)
	switch code {
	case apikey.ExpiredKey, apikey.DisabledKey, apikey.Unavailable:
	default:
		code = apikey.RevokedKey
	}
	p.state.Or(cut | state(code)<<codeShift)
	// Also if nobody has asked for a context yet: one that is made while the
	// connection is severed, which ends its parent, would take the parent's cause.
	(*requestContext)(p).open().cancel(cause)
}

func (p *passage) isCut() bool { return p.state.Load()&cut != 0 }

// or returns the cause instead of err if the request is cut.
func (p *passage) or(err error) error {
	if s := p.state.Load(); s&cut != 0 {
		return s.cause()
	}
	return err
}

// cutShort reports a request that was cut, once, after its flight has ended.
func (p *passage) cutShort(o *Outcome) {
	if p.state.Or(told)&told == 0 {
		p.door.guard.o.OnCut(p.parent, *o)
	}
}

// refusal returns the refusal of a request that was cut over net/http.
func (p *passage) refusal() Outcome {
	s, v := p.state.Load(), p.flight.Verified()
	o := Outcome{code: s.code(), cause: s.cause(), guard: p.door.guard, verified: v, presented: v.Principal()}
	if p.door.guard.tells {
		o.client, o.facts = p.door.guard.ClientAddr(p.original), &facts{route: p.original.Pattern}
	}
	return o
}
