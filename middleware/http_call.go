package middleware

import (
	"net/http"
	"strings"

	"github.com/wontopos/latchkey/internal/engine"
)

// httpCall is one admitted request in a single allocation: the copy that the
// handler gets, its context, its ResponseWriter and its entry among the
// requests in flight.
//
// Its invariant: **a call serves one request and is never reused.** A handler
// may leave r, w or the context behind in a goroutine, and must never find
// another customer's request there. Nor do two calls share memory: an open
// stream would then keep its neighbours, with their tokens, alive just as long.
type httpCall struct {
	w      http1Writer  // all state; view.go has its other views
	fields [2]string    // RateLimit-Policy and RateLimit
	req    http.Request // what the handler gets
}

func (c *httpCall) plain() *plainWriter      { return &c.w.plainWriter }
func (c *httpCall) context() *requestContext { return (*requestContext)(&c.w.passage) }
func (c *httpCall) cutter() *cutter          { return (*cutter)(c.plain()) }
func (c *httpCall) flight() *engine.Flight   { return &c.w.flight }
func (c *httpCall) request() *http.Request   { return &c.req }

// run serves the request. However the handler ends, once run has returned or
// panicked no cut can reach the connection: the next request on it must not
// suffer. Only a hijacked connection stays in flight, until it is closed.
func (c *httpCall) run(next handler) {
	c.req = *c.w.original.WithContext(c.context())
	if g := c.w.door.guard; g.o.StripCredential {
		g.strip(&c.req)
	}
	c.req.Body = c.body()
	defer c.release()
	if !c.w.state.run() {
		return // cut between the decision and here
	}
	next(c.writer(), c.request(), c.flight().Verified().Principal())
	if c.w.state.Load()&owing != 0 {
		c.w.state.Or(returned)
	}
}

func (c *httpCall) release() {
	hijacked := c.plain().hijacked() != nil
	if !hijacked {
		c.flight().Leave()
	}
	c.context().release()
	if !hijacked && c.w.owes() {
		defer c.plain().endCharged()
	}
	handBack(c.w.original, &c.req)
	if c.w.state.Load()&undecided != 0 {
		c.w.settled(http.StatusOK)
	}
	c.w.served()
	if !hijacked && c.w.isCut() {
		c.plain().reportCut()
		if c.brokenOff() { // also when the handler panics: outer middleware may recover
			c.breakOff()
		}
	}
}

// endCharged settles the request, whatever the hooks do.
func (w *plainWriter) endCharged() {
	s := w.state.Load()
	switch {
	case s&sent != 0:
		w.end(s.status())
	case w.hijacked() != nil:
		w.end(http.StatusSwitchingProtocols)
	case s&cut != 0:
		w.end(s.code().Info().Status)
	case s&returned == 0: // it has panicked
		w.end(http.StatusInternalServerError)
	default:
		w.end(http.StatusOK)
	}
}

// reportCut reports that the request was cut.
func (w *plainWriter) reportCut() {
	if w.door.guard.o.OnCut != nil {
		o := w.refusal()
		w.cutShort(&o)
	}
}

// handBack copies to the original request what net/http looks for there: the
// form, whose temporary files it removes, and the matched pattern.
func handBack(original, served *http.Request) {
	if original.MultipartForm == nil {
		original.MultipartForm = served.MultipartForm
	}
	if served.Pattern != "" {
		original.Pattern = served.Pattern
	}
}

// pocket is what one processor needs to begin calls. The garbage collector
// frees what it hands out. Once a request is over the pocket holds nothing that
// its client sent: the text and the values, which requests share, are the
// guard's own words and numbers.
type pocket struct {
	spare  *httpCall
	text   strings.Builder // appending within its capacity does not change a string that it returned
	values []string
	buf    []byte
}

const (
	textAtOnce   = 4 << 10
	valuesAtOnce = 127     // with the header: 2 KiB
	mostBuf      = 4 << 10 // how much a pocket keeps
)

// call returns the call for the next request. It returns the same one until
// used is called, so refusing a request allocates nothing.
func (p *pocket) call() *httpCall {
	if p.spare == nil {
		p.spare = new(httpCall)
	}
	return p.spare
}

// used takes the call out of the pocket for good.
func (p *pocket) used() { p.spare = nil }

// unused puts back the call of a request that is not served with it.
func (p *pocket) unused(c *httpCall) { c.w.under, c.w.original, c.w.parent = nil, nil, nil }

// wipe erases what was last written into buf.
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

// announce sets the rate-limit fields, in two slices of one string. The names
// are canonical, so it writes the map directly. If there are no limits, do not
// touch the header: net/http copies a header that was asked for.
func (p *pocket) announce(h http.Header, o *Outcome, policies, limits []string) {
	if o.guard.o.LegacyHeaders {
		o.eachLegacy(func(name, value string) { h.Set(name, value) })
	}
	policy := o.keyPolicy()
	if o.owner != nil || policy == "" || o.guard.o.Shadow {
		if p.buf = o.AppendRateLimitPolicy(p.buf[:0]); len(p.buf) == 0 {
			return
		}
		policy = p.keep(p.buf)
	}
	policies[0] = policy
	h[fieldPolicy] = policies
	p.buf = o.appendRateLimit(p.buf[:0])
	limits[0] = p.keep(p.buf)
	h[fieldLimit] = limits
}
