package middleware

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// plainWriter is the ResponseWriter that an admitted handler gets. It passes
// everything on until the request is cut; after that it discards what is
// written and returns the cause. It also holds the passage of its request: the
// types of view.go, [requestContext] and [requestBody] are views of the same memory
// with other methods, so that a handler finds exactly the interfaces that the
// server's own writer has.
type plainWriter struct {
	passage
	under  http.ResponseWriter
	before atomic.Pointer[http.Header] // what others had set when the handler first saw the header
}

// begin claims the response for the handler; false after a cut.
func (w *plainWriter) begin(status int) bool {
	s := w.state.Load()
	if s&(cut|undecided) == undecided {
		w.settled(status)
		s = w.state.Load()
	}
	if s&(cut|sent) == 0 {
		if s&tooLarge != 0 {
			closeAfterReply(w.under)
		}
		if w.endsWithConnection() {
			w.state.Or(untilClose)
		}
	}
	return w.state.send(status)
}

// endsWithConnection reports whether only a reset can tell the client that the
// response was broken off, as far as the handler has looked at the header.
func (w *plainWriter) endsWithConnection() bool {
	if w.original.ProtoMajor != 1 || w.original.ProtoMinor == 0 {
		return w.original.ProtoMajor == 1
	}
	return w.before.Load() != nil && w.under.Header()["Transfer-Encoding"] != nil
}

// framedByOthers notes that middleware around the guard wants the response to
// end with its connection. Where the guard sets no fields, it does not look: it
// would cost net/http a copy of the header. A response that is then cut while it
// is being written may look whole; any other is looked at when it is broken off.
func (w *plainWriter) framedByOthers(h http.Header) {
	if len(h) > 0 && h["Transfer-Encoding"] != nil && w.original.ProtoMajor == 1 {
		w.state.Or(untilClose)
	}
}

// Header saves what middleware around the guard has set, before the handler
// changes it. After a cut, the refusal has those fields, and of the handler's
// only those that outlive its response (see restore).
func (w *plainWriter) Header() http.Header {
	h := w.under.Header()
	if w.before.Load() == nil {
		w.before.CompareAndSwap(nil, fieldsOfOthers(h))
	}
	return h
}

func (w *plainWriter) WriteHeader(status int) {
	if status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols {
		if !w.isCut() { // informational: the response has not begun
			w.under.WriteHeader(status)
		}
		return
	}
	if w.begin(status) {
		w.under.WriteHeader(status)
	}
}

func (w *plainWriter) Write(p []byte) (int, error) {
	if !w.begin(http.StatusOK) {
		return 0, w.or(nil)
	}
	n, err := w.under.Write(p)
	if err != nil {
		err = w.or(err)
	}
	return n, err
}

func (w *plainWriter) WriteString(s string) (int, error) {
	if !w.begin(http.StatusOK) {
		return 0, w.or(nil)
	}
	n, err := io.WriteString(w.under, s)
	if err != nil {
		err = w.or(err)
	}
	return n, err
}

// SetReadDeadline and SetWriteDeadline check for a cut afterwards: a handler
// that sets a deadline while it is being cut must not undo the cut's deadline.
func (w *plainWriter) SetReadDeadline(t time.Time) error {
	c := http.NewResponseController(w.under)
	if w.isCut() {
		return w.or(nil)
	}
	err := c.SetReadDeadline(t)
	if w.isCut() {
		_ = c.SetReadDeadline(past)
		return w.or(nil)
	}
	return err
}

func (w *plainWriter) SetWriteDeadline(t time.Time) error {
	c := http.NewResponseController(w.under)
	if w.isCut() {
		return w.or(nil)
	}
	err := c.SetWriteDeadline(t)
	if s := w.state.Load(); s&cut != 0 {
		if s&sent != 0 {
			_ = c.SetWriteDeadline(s.wake())
		}
		return s.cause()
	}
	return err
}

func (w *plainWriter) EnableFullDuplex() error {
	return http.NewResponseController(w.under).EnableFullDuplex()
}

// Unwrap returns the server's writer. A cut does not hold back what is written
// there.
func (w *plainWriter) Unwrap() http.ResponseWriter { return w.under }
