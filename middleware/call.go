package middleware

import (
	"net/http"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// call is one admitted request: the copy that the handler gets, its context,
// its ResponseWriter and its place among the requests in flight, in one piece
// of memory.
//
// Its invariant: **a call serves one request and is never used again.** A
// handler may leave r, w or the context behind in a goroutine, and must never
// find another customer's request there. No two calls share their memory either:
// an open stream would keep its neighbours, with their tokens, for as long.
type call struct {
	w      http1Writer  // all state; view.go has its other views
	fields [2]string    // RateLimit-Policy and RateLimit
	req    http.Request // what the handler gets
}

func (c *call) plain() *plainWriter      { return &c.w.plainWriter }
func (c *call) context() *requestContext { return (*requestContext)(c.plain()) }
func (c *call) cutter() *cutter          { return (*cutter)(c.plain()) }
func (c *call) flight() *apikey.Flight   { return &c.w.flight }
func (c *call) request() *http.Request   { return &c.req }

// run serves the request. Whatever way the handler ends, when run returns or
// panics no cut can reach the connection any more: the next request on it is
// not to suffer. Only a connection that was hijacked stays in flight, until it
// is closed.
func (c *call) run(next Handler) {
	c.req = *c.w.original.WithContext(c.context())
	if g := c.w.guard; g.o.StripCredential {
		g.strip(&c.req)
	}
	c.req.Body = c.body()
	defer c.release()
	if !c.w.state.run() {
		return // cut between the decision and here
	}
	next(c.writer(), c.request(), c.flight().Verified().Principal())
}

func (c *call) release() {
	if c.plain().hijacked() == nil {
		c.flight().Leave()
	}
	c.context().release()
	handBack(c.w.original, &c.req)
	if c.w.state.Load()&undecided != 0 {
		c.w.settled(http.StatusOK)
	}
	if c.brokenOff() { // also when the handler panics: somebody may recover that
		c.breakOff()
	}
}

// handBack gives net/http what it looks for in the request that it made: the
// form whose temporary files it removes, and the pattern that was matched.
func handBack(original, served *http.Request) {
	if original.MultipartForm == nil {
		original.MultipartForm = served.MultipartForm
	}
	if served.Pattern != "" {
		original.Pattern = served.Pattern
	}
}

// pocket is what one processor needs to begin calls. What it hands out is left
// to the garbage collector. It holds nothing that a client sent once its request
// is over: the text and the values, which requests share, are the guard's own
// words and numbers.
type pocket struct {
	spare  *call
	text   strings.Builder // what String returned stays as it is while there is room to append
	values []string
	buf    []byte
}

const (
	textAtOnce   = 4 << 10
	valuesAtOnce = 127     // and the header: 2 KiB
	mostBuf      = 4 << 10 // of what a pocket keeps
)

// call returns the call of the next request. It is the same again until used is
// called: refusing a request takes no memory.
func (p *pocket) call() *call {
	if p.spare == nil {
		p.spare = new(call)
	}
	return p.spare
}

// used takes the call away, for good.
func (p *pocket) used() { p.spare = nil }

// unused gives the call back, of a request that nobody serves with it.
func (p *pocket) unused(c *call) { c.w.under, c.w.original = nil, nil }

// wipe forgets what was written into buf last.
func (p *pocket) wipe() {
	if cap(p.buf) > mostBuf {
		p.buf = nil
	}
	clear(p.buf)
}

// keep returns b as a string.
func (p *pocket) keep(b []byte) string {
	if p.text.Cap()-p.text.Len() < len(b) {
		p.text.Reset()
		p.text.Grow(max(textAtOnce, len(b)))
	}
	start := p.text.Len()
	p.text.Write(b)
	return p.text.String()[start:]
}

// one returns a slice of one string, with no room to append in place.
func (p *pocket) one(s string) []string {
	if len(p.values) == 0 {
		p.values = make([]string, valuesAtOnce)
	}
	v := p.values[:1:1]
	p.values = p.values[1:]
	v[0] = s
	return v
}

// announce sets the fields of the limits, in two slices of one string.
// The names are canonical, so the map is written directly. Without limits leave
// the header alone: net/http copies one that was asked for.
func (p *pocket) announce(h http.Header, o *Outcome, policies, limits []string) {
	policy := o.verified.RateLimitPolicy()
	if o.Decision.N > len(o.verified.Limits()) {
		p.buf = o.AppendRateLimitPolicy(p.buf[:0])
		policy = p.keep(p.buf)
	}
	policies[0] = policy
	h[fieldPolicy] = policies
	p.buf = o.AppendRateLimit(p.buf[:0])
	limits[0] = p.keep(p.buf)
	h[fieldLimit] = limits
	if o.guard.o.LegacyHeaders {
		o.eachLegacy(func(name, value string) { h.Set(name, value) })
	}
}
