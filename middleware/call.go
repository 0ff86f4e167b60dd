package middleware

import (
	"context"
	"strings"
	"sync"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
)

// Call is one request on any transport, from its decision to its end. It is for
// adapters of transports that are not net/http; [Door.Serve] does the same there.
//
//	var call middleware.Call
//	door.Decide(ctx, &call, middleware.Request{…})
//	if !call.Allowed() {
//		return refuse(&call.Outcome)
//	}
//	answer, err := handle(call.Begin(nil)) // with a context that ends with the key
//	if call.End(status) != nil {
//		return refuse(&call.Outcome) // it was cut
//	}
//	return answer, err
//
// Put a Call, by value, into what the transport keeps for a request: a decision
// then allocates nothing. The zero Call was refused: see [Outcome]. A Call serves
// one request. Its memory may be used for another, as a zero Call, after End, and
// only if Begin was not called: a handler may keep its context. The methods are
// called by one goroutine at a time.
type Call struct {
	// Outcome is what was decided. After an End that returns an error it is the
	// refusal that the client should get.
	Outcome

	passage passage
	ctx     context.Context
	pattern string
	method  string
	onCut   func(cause error)

	outer *passage        // of the door that decided the request, if this is an inner one
	seen  engine.Verified // by this inner door
	mark  *unkeyed        // of a request without a key
	stop  func() bool     // what Begin of an inner door started
	mu    sync.Mutex      // guards ended, where stop is set
	ended bool
}

// Decide decides a request: it finds the key and verifies it, checks the host,
// the client's network and the scopes of the route, enters it among the requests
// in flight, and charges all limits in one step. Cheap checks come first;
// nothing is charged before every free check has passed, and a refused request is
// never charged. The outcome is counted in the key's usage. After an admitted
// request the caller must call [Call.End]; after a refused one it may.
//
// If ctx comes from the Begin of another Call, or from a net/http door of the
// same Guard, this is an inner door: see "Nested doors" in the package
// documentation. Its refusal stands if the outermost Call ends with a status of
// 400 or more.
//
// For a cached key Decide does no I/O, unless the limiter does. It keeps ctx, and
// nothing of r.
func (d *Door) Decide(ctx context.Context, c *Call, r Request) {
	g := d.guard
	q := ask{Request: r, door: d, flight: &c.passage.flight, cutter: (*callCutter)(c), call: true}
	q.observed(g)
	c.ctx = ctx
	switch outer := ctx.Value(guardKey{g}).(type) {
	case *passage:
		if v, _, same := d.inside(ctx, &q, outer, false, &c.Outcome); same {
			c.outer, c.seen = outer, v
			if c.code != apikey.OK && c.cause == nil {
				outer.decline(ctx, outer.more(), false, &c.Outcome)
				outer.more().written()
			}
			return
		}
		q.Request, c.Outcome = r, Outcome{}
	case *inspection:
		outer.found = &d.route
		return // c stays refused
	}
	if g.o.PreflightCORS && isPreflight(&q.Request) {
		c.guard = g
		return
	}
	c.passage.door, c.passage.parent = d, ctx
	g.check(ctx, &q, &c.Outcome)
	switch {
	case c.code != apikey.OK:
		g.report(ctx, &c.Outcome)
	case c.presented != nil:
		c.passage.admitted(&c.Outcome, nil)
		if c.sample != nil {
			c.method = strings.Clone(r.Method)
		}
	case g.o.OnDecision != nil && ctx.Value(unkeyedKey{g}) == nil:
		c.mark = new(unkeyed)
	}
}

// Begin returns the context with which to serve an admitted request:
// [PrincipalFrom] finds its principal. When its key is revoked, disabled or
// expires, the context ends with the cause [apikey.RevokedKey],
// [apikey.DisabledKey] or [apikey.ExpiredKey], and then onCut is called, unless it
// is nil, from any goroutine, to take away what the handler may be blocked on,
// such as its connection. The context comes first, because taking the connection
// away may end the context that it was made from, and the cause would be lost.
// onCut is called at most once and not after End has returned; it must be quick and
// must not call End. If the key has ended already, the context has, and onCut may
// be called before Begin returns.
//
// Begin is called at most once. A transport whose handlers have no context may
// leave it out: such a request runs to its end, and End tells that it was cut.
func (c *Call) Begin(onCut func(cause error)) context.Context {
	switch {
	case !c.Allowed():
		return c.refusedContext()
	case c.mark != nil:
		return context.WithValue(c.ctx, unkeyedKey{c.guard}, c.mark)
	case c.outer != nil:
		if onCut != nil {
			c.watch(onCut)
		}
		return c.ctx
	case !c.entered:
		return c.ctx
	}
	if onCut != nil {
		c.onCut = onCut
		if s := c.passage.state.Or(running); s&severed != 0 { // Sever did not see running
			onCut(s.cause())
		}
	}
	return (*requestContext)(&c.passage)
}

// refusedContext has ended, for a caller that did not look at the Outcome.
func (c *Call) refusedContext() context.Context {
	parent := c.ctx
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithCancelCause(parent)
	cancel(c.Code())
	return ctx
}

// watch calls onCut when the outermost door's request is cut.
func (c *Call) watch(onCut func(error)) {
	c.stop = context.AfterFunc(c.ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if s := c.outer.state.Load(); !c.ended && s&cut != 0 {
			onCut(s.cause())
		}
	})
}

// Matched names the route of a request for the last use that the key's page
// shows, where the pattern is known only after the decision, or only a path. Call
// it before End.
func (c *Call) Matched(pattern string) { c.pattern = pattern }

// End ends the request. It must be called after every admitted request, also when
// the handler panics; only the first call has an effect, so it may be deferred as
// well. status is the HTTP status with which the handler answers, or 0 if it is
// not known: it is shown with the key's last use, and if an inner door refused
// the request, one of 400 or more confirms it: what was charged is given back.
//
// After End the request cannot be cut any more. If it was, End returns the cause,
// the Outcome is the refusal to answer if nothing was sent yet, and a response
// that has begun must not look complete.
func (c *Call) End(status int) error {
	if c.stop != nil {
		c.stop()
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	if c.ended {
		return c.cause
	}
	c.ended = true
	c.learn(c.pattern)
	switch {
	case c.outer != nil:
		c.endInside()
	case c.entered && c.code == apikey.OK:
		c.endPassage(status)
	case c.mark != nil && !c.mark.told.Load():
		c.guard.report(c.ctx, &c.Outcome)
	}
	return c.cause
}

func (c *Call) endInside() {
	if c.code != apikey.OK {
		return
	}
	c.outer.serves(c.seen, c.used)
	if s := c.outer.state.Load(); s&cut != 0 {
		c.becomeRefusal(s)
	}
}

func (c *Call) endPassage(status int) {
	p := &c.passage
	p.flight.Leave()
	(*requestContext)(p).release()
	if p.owes() {
		defer func() { p.end(status) }()
	}
	if p.state.Load()&undecided != 0 {
		p.nested.Load().admitted.facts = c.facts
		p.decide(status)
	}
	p.served()
	s := p.state.Load()
	if s&cut != 0 {
		c.becomeRefusal(s)
		status = c.Status()
		if p.door.guard.o.OnCut != nil {
			p.cutShort(&c.Outcome)
		}
	}
	if c.sample != nil {
		method, pattern := route(c.method, c.pattern)
		c.sample.Ended(method, pattern, status)
	}
}

// decide makes the decision final. OnDecision sees it even if the limiter panics.
func (p *passage) decide(status int) {
	n := p.nested.Load()
	defer p.tell(p.parent, n)
	p.finish(n, status)
}

func (c *Call) becomeRefusal(s state) {
	c.code, c.cause = s.code(), s.cause()
	c.decision.N = 0
}

// callCutter is the [engine.Cutter] of a Call.
type callCutter Call

func (k *callCutter) Cut(cause error) { k.passage.cut(cause) }

func (k *callCutter) Sever() {
	if s := k.passage.state.Or(severed); s&running != 0 {
		k.onCut(s.cause())
	}
}
