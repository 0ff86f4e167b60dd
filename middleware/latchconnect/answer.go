package latchconnect

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// linger is how long after a cut a response that has begun may take to end in its
// protocol. Then its stream is reset.
const linger = time.Second

var past = time.Unix(1, 0)

// answer is a call, and its ResponseWriter. Nothing that the handler writes after
// the cut goes out, and nothing that it had set before is in the refusal. Except
// for cut, its methods are called by the handler's goroutine.
type answer struct {
	call     middleware.Call
	under    http.ResponseWriter
	request  *http.Request
	refuser  refuser
	protocol protocol
	ctx      context.Context // of Begin

	before    http.Header // the fields that were set when the call came; nil if there were none
	status    int         // that was sent; 0: none
	envelopes envelopes
	held      []byte // the prefix of an envelope whose message has not been written

	begun atomic.Bool // status was sent, or is about to be
	code  atomic.Uint32
}

// cut is called when the key ends, by any goroutine. A handler that is blocked in
// a read is woken at once, and one that is blocked in a write after linger.
func (a *answer) cut(cause error) {
	a.code.Store(uint32(apikey.CodeOf(cause))) // before begun is read; begin does it in the opposite order
	conn := http.NewResponseController(a.under)
	_ = conn.SetReadDeadline(past)
	if a.begun.Load() {
		_ = conn.SetWriteDeadline(time.Now().Add(linger))
	}
}

// cause returns why the call was cut, or nil. The context ends first, then cut is
// called.
func (a *answer) cause() error {
	if code := apikey.Code(a.code.Load()); code != apikey.OK {
		return code
	}
	if a.ctx.Err() != nil {
		if code, cut := context.Cause(a.ctx).(apikey.Code); cut {
			return code
		}
	}
	return nil
}

func (a *answer) Header() http.Header { return a.under.Header() }

func (a *answer) WriteHeader(status int) {
	if status >= http.StatusOK {
		_ = a.begin(status)
	}
}

func (a *answer) Write(p []byte) (int, error) {
	if err := a.begin(http.StatusOK); err != nil {
		return 0, err
	}
	if a.protocol == unary {
		return a.write(p)
	}
	if a.held == nil && a.envelopes.begins(p) { // connect writes it alone; a cut must not come between it and its message
		a.held = append(a.held, p...)
		return len(p), nil
	}
	if held := a.held; held != nil {
		a.held = nil
		if _, err := a.write(held); err != nil {
			return 0, err
		}
	}
	return a.write(p)
}

func (a *answer) write(p []byte) (int, error) {
	n, err := a.under.Write(p)
	a.envelopes.follow(p[:n])
	if err != nil && a.cause() != nil {
		err = a.cause()
	}
	return n, err
}

func (a *answer) Flush() {
	if a.begin(http.StatusOK) == nil {
		_ = http.NewResponseController(a.under).Flush()
	}
}

// begin sends the header, unless it was sent. After the cut it returns the cause.
func (a *answer) begin(status int) error {
	a.begun.Store(true)
	if cause := a.cause(); cause != nil {
		return cause
	}
	if a.status == 0 {
		a.status = status
		a.under.WriteHeader(status)
	}
	return nil
}

// refuse ends a call that was cut, in its protocol where that is possible. False
// says that the response was broken off.
func (a *answer) refuse() bool {
	h := a.under.Header() // of a response that has begun, these are trailers
	clear(h)
	conn := http.NewResponseController(a.under)
	_ = conn.SetWriteDeadline(time.Now().Add(linger))
	if a.request.ProtoMajor == 1 {
		closeAfterReply(a.under)
	}
	switch {
	case a.status == 0:
		maps.Copy(h, a.before)
		a.refuser.refuse(a.under, a.request, &a.call.Outcome)
	case a.envelopes.ended: // by the handler itself, before the cut
	case a.protocol == unary || !a.envelopes.between():
		a.breakOff(conn)
		return false
	default:
		a.refuser.end(a.under, a.request, a.protocol, &a.call.Outcome)
	}
	return true
}

// breakOff makes the end of the response visible to its client also if somebody
// recovers the panic that follows: over HTTP/2 the deadline resets the stream, and
// over HTTP/1 a write that has failed once fails for good.
func (a *answer) breakOff(conn *http.ResponseController) {
	_ = conn.SetWriteDeadline(past)
	if a.request.ProtoMajor == 1 {
		_, _ = a.under.Write([]byte{0})
		_ = conn.Flush()
	}
}

// closeAfterReply has net/http close the connection after this response, as it
// does for a MaxBytesReader at its limit: the read deadline of the connection has
// passed, and with it the context of all its requests.
func closeAfterReply(w http.ResponseWriter) {
	for u, ok := w.(unwrapper); ok; u, ok = w.(unwrapper) {
		w = u.Unwrap()
	}
	_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
}

type unwrapper interface{ Unwrap() http.ResponseWriter }
