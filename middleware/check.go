package middleware

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/internal/slot"
	"github.com/wontopos/latchkey/limiter"
)

// restarts bounds how often a key may change between its verification and the
// registration of one request.
const restarts = 16

// check makes the decision of the first door that a request comes to.
func (g *Guard) check(ctx context.Context, q *ask, o *Outcome) {
	o.guard, o.need, o.varies = g, &q.door.route.Need, q.door.route.Optional || q.door.route.Others
	finished := false
	defer func() {
		if !finished && o.entered { // a panic in somebody else's limiter
			q.flight.Leave()
			o.code, o.entered = apikey.Unavailable, false
		}
	}()
	o.code = g.decide(ctx, q, o)
	finished = true
	o.private = g.o.private && o.presented != nil
	g.addFacts(q, o)
}

// addFacts adds what hooks may ask for, and the client's address for others who
// may.
func (g *Guard) addFacts(q *ask, o *Outcome) {
	if q.tells {
		o.facts = &facts{q.Pattern, time.Since(processStart) - q.began}
		if q.call {
			o.facts.route = strings.Clone(q.Pattern) // the transport may reuse its memory
		}
	}
	if (q.tells || q.call && o.code != apikey.OK) && !o.client.IsValid() {
		o.client = g.client(&q.Request)
	}
}

func (g *Guard) decide(ctx context.Context, q *ask, o *Outcome) apikey.Code {
	token, code := g.credential(&q.Request)
	if q.door.route.Others && g.somebodyElses(&q.Request, token, code) {
		return apikey.OK
	}
	if code != apikey.OK {
		if code == apikey.MissingKey && q.door.route.Optional {
			return apikey.OK
		}
		return code
	}
	for range restarts {
		if code := g.verify(ctx, token, o); code != apikey.OK {
			if o.presented != nil {
				g.count(o, code)
			}
			return code
		}
		if code := g.permits(q, o); code != apikey.OK {
			return g.count(o, code)
		}
		if !o.verified.Enter(q.flight, q.cutter) {
			o.presented = nil
			continue // the key has changed since: check it again
		}
		o.entered = true
		if code := g.charge(ctx, token, q, o); code != apikey.OK {
			if cause := q.flight.Leave(); cause != apikey.OK { // the key ended meanwhile, which tells the client more
				code, o.decision = cause, limiter.Decision{}
			}
			return g.count(o, code)
		}
		g.countAllowed(&q.Request, o)
		return apikey.OK
	}
	return apikey.Unavailable
}

// verify authenticates the token.
func (g *Guard) verify(ctx context.Context, token string, o *Outcome) apikey.Code {
	v, err := g.engine.Verify(ctx, token)
	if err == nil {
		o.verified, o.presented = v, v.Principal()
		return apikey.OK
	}
	switch code := apikey.CodeOf(err); code {
	case apikey.InvalidKey:
		return invalid(token)
	case apikey.ExpiredKey, apikey.DisabledKey, apikey.RevokedKey: // the secret was right
		o.verified, o.presented = v, v.Principal()
		return code
	}
	return apikey.Unavailable // nothing is known about the key: never 401
}

// invalid tells a token that is not a key from one that is not even a b64token.
// No key has that form, so checking it only here saves the check for every good
// key.
func invalid(token string) apikey.Code {
	if !isB64Token(token) {
		return apikey.MalformedRequest
	}
	return apikey.InvalidKey
}

// permits makes the checks that are free.
func (g *Guard) permits(q *ask, o *Outcome) (code apikey.Code) {
	if o.verified.Networks() {
		o.client = g.client(&q.Request)
	}
	o.used, code = o.verified.Permits(q.Host, o.client, &q.door.route.Need)
	if code == apikey.EnvironmentMismatch {
		g.mismatched(&q.Request, o)
	}
	return code
}

// charge charges all limits of the request, or none. The id of the key is read
// from the token, which is at hand, and our own limiter keeps nothing of it.
func (g *Guard) charge(ctx context.Context, token string, q *ask, o *Outcome) apikey.Code {
	if !q.door.keyOnly {
		if code := q.door.lookUp(ctx, o); code != apikey.OK {
			return code
		}
	}
	if g.window == nil {
		return g.chargeElsewhere(ctx, q.door, o)
	}
	var room demands // on the stack, unlike what an interface is given
	r := q.door.asks
	r.Demands = g.demand(&room, engine.KeyID(token), o)
	if len(r.Demands) == 0 {
		return apikey.OK
	}
	var first *slot.Slot
	if g.slots && len(o.keyLimits()) > 0 { // one look-up finds both the key and its windows
		first = o.verified.Attachment()
	}
	return g.decided(ctx, g.window.DecideFixed(ctx, &r, first, &o.decision), o)
}

// chargeElsewhere is charge for a limiter that is not a Window. It gives back the
// room that it used: limiters keep nothing of a request.
func (g *Guard) chargeElsewhere(ctx context.Context, d *Door, o *Outcome) apikey.Code {
	if !o.limited() {
		return apikey.OK
	}
	room, r := g.demands.Get().(*demands), d.asks
	r.Demands = g.demand(room, o.verified.KeyID(), o)
	err := g.take(ctx, &r, o)
	*room = demands{}
	g.demands.Put(room)
	return g.decided(ctx, err, o)
}

// take asks the limiter and checks that its answer is possible.
func (g *Guard) take(ctx context.Context, q *limiter.Request, o *Outcome) (err error) {
	o.decision, err = g.limiter.Take(ctx, *q)
	return asked(q, &o.decision, err)
}

func asked(q *limiter.Request, d *limiter.Decision, err error) error {
	if n := limitsIn(q.Demands); err == nil && uint(d.N) > uint(n) {
		return fmt.Errorf("the limiter decided on %d limits where %d were asked for", d.N, n)
	}
	return err
}

// demands has room for all that a request demands: of its key and of the key's
// owner.
type demands [2]limiter.Demand

// demand names the limits of the request, the key's first, in room.
func (g *Guard) demand(room *demands, id string, o *Outcome) []limiter.Demand {
	n := 0
	if limits := o.keyLimits(); len(limits) > 0 {
		room[0] = limiter.Demand{Subject: g.subject(id, o), Limits: limits}
		n = 1
	}
	if o.owner != nil {
		room[n] = limiter.Demand{Subject: o.owner.subject, Limits: o.owner.limits}
		n++
	}
	return room[:n]
}

// decided turns the limiter's answer into a code.
func (g *Guard) decided(ctx context.Context, err error, o *Outcome) apikey.Code {
	switch {
	case err != nil:
		return g.undecided(ctx, err, o)
	case !o.decision.Allowed:
		return apikey.RateLimited
	}
	return apikey.OK
}

// undecided says what becomes of a request that the limiter could not decide.
func (g *Guard) undecided(ctx context.Context, err error, o *Outcome) apikey.Code {
	o.decision = limiter.Decision{}
	if ctx.Err() == nil { // otherwise the client has gone
		g.complaint.say(g, err)
	}
	if (g.o.FailOpen || g.o.Shadow) && ctx.Err() == nil {
		return apikey.OK
	}
	return apikey.Unavailable
}

// count counts a refusal of a known key.
func (g *Guard) count(o *Outcome, code apikey.Code) apikey.Code {
	o.verified.Count(code, 0, nil)
	return code
}

// countAllowed counts an admitted request, and leaves its scopes to the caller.
// Its route and client are looked up only if they will be recorded, for about
// one request per flush.
func (g *Guard) countAllowed(r *Request, o *Outcome) {
	if !o.verified.Sampled() {
		o.verified.Count(apikey.OK, 0, nil)
		return
	}
	u := engine.Use{Source: g.client(r)}
	u.Method, u.Route = route(r.Method, r.Pattern)
	if values := r.Fields.Values("User-Agent"); len(values) > 0 {
		u.UserAgent = values[0]
	}
	o.sample = o.verified.Count(apikey.OK, 0, &u)
}

// complaint logs a failing limiter at most once per complaintEvery: there may
// be thousands of requests a second.
type complaint struct{ last atomic.Int64 }

const complaintEvery = 10 * time.Second

var processStart = time.Now()

func (c *complaint) say(g *Guard, err error) {
	now, last := int64(time.Since(processStart))+1, c.last.Load()
	if (last == 0 || now-last >= int64(complaintEvery)) && c.last.CompareAndSwap(last, now) {
		g.o.Logger.Error("the limiter cannot decide", "error", err, "fail_open", g.o.FailOpen)
	}
}
