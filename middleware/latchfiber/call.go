package latchfiber

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// call is a request at a door, from its decision to its end. That may come long
// after all handlers have returned: only then does fasthttp send a stream, and let a
// connection be taken over.
type call struct {
	middleware.Call
	under  *fasthttp.RequestCtx
	conn   net.Conn           // nil if there is none
	outer  *call              // of the door around this one
	root   *call              // of the outermost door; may be this one
	before *fasthttp.Response // whose header is that of the answer before the door
	ctx    context.Context    // of Begin
	stop   func() bool        // ends the watch on the context around the door
	ending sync.Mutex         // for End

	mu      sync.Mutex // of root, for what follows
	begun   bool       // the answer is fasthttp's now, if that is so at the root
	severed bool
	cancel  context.CancelCauseFunc // of the handler's context; nil for an inner door
	status  int                     // with which the handler has answered
}

// ofRequest is the key under which fasthttp keeps the innermost call of a request.
// When it is done with the request it closes every such value that can be closed.
type ofRequest struct{}

func (x *call) enter(c fiber.Ctx) {
	x.under, x.root = c.RequestCtx(), x
	if conn := x.under.Conn(); !madeUp(conn) {
		x.conn = conn
	}
	if x.outer != nil {
		x.root = x.outer.root
	}
	x.under.SetUserValue(ofRequest{}, x)
	x.before = fasthttp.AcquireResponse()
	x.under.Response.Header.CopyTo(&x.before.Header)
}

// begin returns the handler's context. It ends after the connection was severed, and
// not before, as that of Begin does: a stream that ends with its context would
// otherwise end well.
func (x *call) begin(parent context.Context) context.Context {
	x.ctx = x.Begin(x.sever)
	if x.ctx == parent { // a door inside another one, or a request without a key
		return parent
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(x.ctx))
	x.root.mu.Lock()
	defer x.root.mu.Unlock()
	if x.cancel = cancel; x.severed {
		cancel(context.Cause(x.ctx))
	}
	if parent.Done() != nil {
		x.stop = context.AfterFunc(parent, x.abandon)
	}
	return ctx
}

// abandon ends a request with the context around its door: fasthttp forgets one
// that the timeout middleware has given up.
func (x *call) abandon() {
	x.root.mu.Lock()
	status := x.status
	x.root.mu.Unlock()
	_ = x.end(status)
}

// madeUp reports whether there is no connection: fiber's adaptor, which mounts an
// application in net/http, makes up one that panics. Nor does it say when the answer
// was sent.
func madeUp(conn net.Conn) bool {
	local, ok := conn.LocalAddr().(*net.TCPAddr)
	return ok && local.Port == 0
}

var past = time.Unix(1, 0)

// sever takes away what a handler that was cut may be blocked on.
func (x *call) sever(cause error) {
	x.root.mu.Lock()
	defer x.root.mu.Unlock()
	x.severed = true
	switch {
	case x.conn == nil:
	case x.root.begun:
		abort(x.conn)
	default:
		_ = x.conn.SetReadDeadline(past)
	}
	if x.cancel != nil {
		x.cancel(cause)
	}
}

// abort closes a connection so that nobody takes what has arrived for the whole,
// even where the end of the connection is the end of the answer.
func abort(conn net.Conn) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// atOnce is how large an answer may be for fasthttp to send it without waiting for
// its client.
const atOnce = 64 << 10

// handOver leaves the answer to fasthttp. A small one is over with that. Anything
// else stays in flight until it was sent, and from here on it can only be broken
// off. If the key has ended before, handOver clears the answer and returns false,
// and the Outcome is the refusal.
func (x *call) handOver(c fiber.Ctx, err error) bool {
	defer fasthttp.ReleaseResponse(x.before)
	answer, status := c.Response(), statusOf(c, err)
	sends := x.conn != nil && (answer.IsBodyStream() || x.under.Hijacked() || len(answer.Body()) > atOnce)
	if sends {
		sends = x.leave(status)
	}
	if sends || x.end(status) == nil {
		return true
	}
	answer.Reset()
	x.before.Header.CopyTo(&answer.Header)
	x.under.Hijack(nil)
	x.under.SetConnectionClose() // its read deadline has expired
	return false
}

// leave lets fasthttp send the answer, unless the key has ended.
func (x *call) leave(status int) bool {
	x.root.mu.Lock()
	defer x.root.mu.Unlock()
	if _, ended := context.Cause(x.ctx).(apikey.Code); ended || x.severed {
		return false
	}
	x.status, x.begun = status, true
	return true
}

func statusOf(c fiber.Ctx, err error) int {
	if err == nil {
		return c.Response().StatusCode()
	}
	if e := (*fiber.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return fiber.StatusInternalServerError
}

// Close is called when the answer was written or could not be, or when the
// connection that a handler took over is closed.
func (x *call) Close() error {
	for ; x != nil; x = x.outer {
		_ = x.end(x.under.Response.StatusCode())
	}
	return nil
}

func (x *call) end(status int) error {
	x.ending.Lock()
	defer x.ending.Unlock()
	if x.stop != nil {
		x.stop()
	}
	defer func() {
		if x.cancel != nil {
			x.cancel(context.Canceled)
		}
	}()
	return x.End(status)
}
