package middleware

import (
	"maps"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/abort"
)

// state is the one word on which the handler and a cut agree: whether the
// response has begun, whether the request is cut, and why. If the first byte
// goes out before the cut, the response is visibly broken off. If the cut comes
// first, nothing from the handler goes out and the client gets the refusal.
// There is no third case, because each is one atomic operation.
type state uint32

const (
	running state = 1 << iota // the request is decided, and its handler may use the connection
	sent                      // the final status has been handed to net/http
	cut
	over           // the handler has returned
	tooLarge       // a MaxBytesReader has found more than its limit
	untilClose     // only closing the connection ends the response
	undecided      // the decision may change, or must be reported, when the response begins
	served         // the handler of an inner door has returned
	withdrawn      // an inner door has refused the request
	codeShift  = 9 // above: the apikey.Code of the cut

	statusShift = 16 // above: the status that was sent, in ten bits

	owing    state = 1 << 26 // there is something to settle when the request ends
	returned state = 1 << 27 // the handler has, without a panic; only noted where that matters
	settled  state = 1 << 28 // what was charged is final

	severed state = 1 << 30 // a Call has been told to take away what blocks it
	told    state = 1 << 31 // OnCut was called
)

func (s state) status() int { return int(s >> statusShift & 0x3ff) }

func (s state) code() apikey.Code { return apikey.Code(s >> codeShift & 0x7f) }

// cause is the error that ends the context and that writes return.
func (s state) cause() error {
	switch s.code() {
	case apikey.ExpiredKey:
		return apikey.ExpiredKey
	case apikey.DisabledKey:
		return apikey.DisabledKey
	case apikey.Unavailable:
		return apikey.Unavailable
	}
	return apikey.RevokedKey
}

type atomicState struct{ v atomic.Uint32 }

func (a *atomicState) Load() state      { return state(a.v.Load()) }
func (a *atomicState) Or(s state) state { return state(a.v.Or(uint32(s))) }
func (a *atomicState) clear(s state)    { a.v.And(^uint32(s)) }

// run hands the connection to the handler; false after a cut. An earlier cut
// leaves the connection alone: a read deadline in the past would end the
// connection's context, and with it the requests that follow this one.
func (a *atomicState) run() bool {
	for {
		s := a.Load()
		if s&cut != 0 {
			return false
		}
		if a.v.CompareAndSwap(uint32(s), uint32(s|running)) {
			return true
		}
	}
}

// send claims the response for the handler and sets its status if it has none;
// false after a cut.
func (a *atomicState) send(status int) bool {
	for {
		s := a.Load()
		if s&cut != 0 {
			return false
		}
		if s&sent != 0 || a.v.CompareAndSwap(uint32(s), uint32(s|sent)|uint32(status)<<statusShift) {
			return true
		}
	}
}

// cutter is the [engine.Cutter] of a call.
type cutter plainWriter

var past = time.Unix(1, 0)

// Cut ends the request's context. What the client sees is decided by conclude,
// when the handler has returned.
func (k *cutter) Cut(cause error) { k.passage.cut(cause) }

// Sever sets the connection's deadlines in the past, so that blocked reads and
// writes return. If the handler hijacked the connection, it closes the
// connection.
func (k *cutter) Sever() {
	s := k.state.Load()
	if s&running == 0 {
		return
	}
	if h := (*plainWriter)(k).hijacked(); h != nil {
		abort.Conn(h.Conn)
		return
	}
	c := http.NewResponseController(abort.Innermost(k.under))
	_ = c.SetReadDeadline(past)
	if s&sent != 0 {
		_ = c.SetWriteDeadline(s.wake())
	}
}

// slowest is how long a client may take to read what a handler is writing when
// it is cut, if only closing the connection ends the response.
const slowest = time.Second

// wake is the deadline that ends a blocked write. When a write fails, net/http
// closes the connection cleanly. Where closing ends the response, it is better
// to let the write through: the reset follows.
func (s state) wake() time.Time {
	if s&untilClose != 0 {
		return time.Now().Add(slowest)
	}
	return past
}

// brokenOff reports whether the response had begun when it was cut.
func (c *httpCall) brokenOff() bool {
	return c.w.state.Load()&(cut|sent) == cut|sent && c.plain().hijacked() == nil
}

// breakOff ends a response that has begun, so that the client sees an error
// whatever becomes of the panic that follows.
func (c *httpCall) breakOff() {
	r := c.w.original
	abort.Response(c.w.under, r, c.w.state.Load()&untilClose != 0)
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll() // net/http does not do it after a panic
	}
}

// conclude ends a response after the handler has returned without a panic. A
// cut request that has not been answered gets the refusal. One that has been is
// broken off, so that no client takes the part it got for the whole.
func (c *httpCall) conclude() {
	switch s := c.w.state.Load(); {
	case s&(cut|sent|tooLarge) == tooLarge:
		closeAfterReply(c.w.under) // net/http answers
	case s&cut == 0 || c.plain().hijacked() != nil:
	case s&sent == 0:
		// Many requests may have been cut together. Let their handlers notice before
		// this one writes: with 1,000 in flight on two cores the slowest took 10 ms
		// this way, and 50 ms without it.
		runtime.Gosched()
		c.answer(c.w.original, s)
	default:
		panic(http.ErrAbortHandler)
	}
}

// answerTimeout is how long a client that was cut may take to read why.
const answerTimeout = 5 * time.Second

// answer refuses a cut request as if its key had been refused at the door.
func (c *httpCall) answer(r *http.Request, s state) {
	w := c.w.under
	header := w.Header()
	c.w.restore(header)
	if r.ProtoMajor == 1 && s&running != 0 {
		header.Set("Connection", "close") // its read deadline has expired
		if r.ContentLength != 0 {
			closeAfterReply(w)
		}
	}
	if s&running != 0 {
		_ = http.NewResponseController(abort.Innermost(w)).SetWriteDeadline(time.Now().Add(answerTimeout))
	}
	o := c.w.refusal()
	c.w.door.guard.refuse(w, r, &o)
}

// fieldsOfOthers returns the fields that middleware around the guard has set.
// It is called once per request, when the header holds only these and the
// guard's own.
func fieldsOfOthers(h http.Header) *http.Header {
	if len(h) == 0 || len(h) == 2 && h[fieldPolicy] != nil && h[fieldLimit] != nil {
		return &noFields
	}
	others := maps.Clone(h)
	return &others
}

var noFields = http.Header{}

// restore resets a header to what it was when the guard was asked: a field set
// by middleware around the guard may describe what it does to the body, as
// Content-Encoding does. Of the handler's fields, those stay that reveal
// nothing of what it found.
func (w *plainWriter) restore(h http.Header) {
	before := w.before.Load()
	for name := range h {
		if !outlives(name) && (before != nil || ofGuard(name)) {
			delete(h, name)
		}
	}
	if before == nil {
		return // the handler never saw it
	}
	for name, values := range *before {
		if _, stayed := h[name]; !stayed && !ofGuard(name) {
			h[name] = values
		}
	}
}

// ofGuard reports whether the guard set the field, for a request that it
// admitted.
func ofGuard(name string) bool {
	return name == fieldPolicy || name == fieldLimit || strings.HasPrefix(name, legacyPrefix)
}

// outlives reports whether a field may stay when the handler's response is
// replaced: the fields that middleware, around the guard or inside, sets for
// every response. Any other may reveal what the handler found.
func outlives(name string) bool {
	switch name {
	case "Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy",
		"Vary", "Server", "Date", "X-Request-Id", "Request-Id", "Traceparent":
		return true
	}
	return strings.HasPrefix(name, "Access-Control-")
}
