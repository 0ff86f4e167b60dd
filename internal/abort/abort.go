// Package abort ends responses that have begun and cannot be completed, so that
// no client takes the part that it got for the whole.
package abort

import (
	"net"
	"net/http"
	"time"
)

// Response breaks off a response that has begun: its client sees an error. It
// is for a handler that panics with [http.ErrAbortHandler] next, and works
// whatever becomes of that panic: other middleware may recover it and return,
// and net/http would then end the response cleanly. Response reaches the
// server's connection through writers that have an Unwrap method.
//
// A response over HTTP/1 that only the end of its connection ends is reset.
// Response sees that from the version and the header; reset tells it if the
// header may have changed since the response began.
func Response(w http.ResponseWriter, r *http.Request, reset bool) {
	inner := Innermost(w)
	server := http.NewResponseController(inner)
	err := server.SetWriteDeadline(past) // over HTTP/2 this resets the stream
	if r.ProtoMajor != 1 {
		return
	}
	if reset || r.ProtoMinor == 0 || inner.Header()["Transfer-Encoding"] != nil {
		if conn, _, err := server.Hijack(); err == nil {
			Conn(conn)
			return
		}
	}
	if err == nil && r.Context().Value(http.ServerContextKey) != nil {
		// A write that fails once fails for good, even if somebody clears the
		// deadline.
		_, _ = inner.Write([]byte{0})
		_ = server.Flush()
	}
}

var past = time.Unix(1, 0)

// Conn closes a connection at once, with a reset where possible: a clean end
// could be taken for the end of a message. It does not wait to send a goodbye,
// as closing a TLS connection does.
func Conn(c net.Conn) {
	for {
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = outer.NetConn()
	}
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// Innermost returns the server's own writer, or the last one that can be
// reached.
func Innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		next := u.Unwrap()
		if next == nil {
			return w
		}
		w = next
	}
}
