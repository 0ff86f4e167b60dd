package latchgin

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
)

// The writers of a request, from the handler to the server:
//
//	innerWriter    what the handler gets: a gin.ResponseWriter
//	the guard's    which decides what may still be written
//	outerWriter    what the guard gets: a plain http.ResponseWriter
//	gin's          which logs and other middleware ask for status and size
//
// Only innerWriter's Status, Size, Written, and a status that is not sent yet,
// pass the guard by: gin's writer keeps them.

// innerWriter is the guard's writer with what gin adds to one.
type innerWriter struct {
	http.ResponseWriter                    // the guard's
	gin                 gin.ResponseWriter // around the guard
}

func (w *innerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *innerWriter) Status() int                 { return w.gin.Status() }
func (w *innerWriter) Size() int                   { return w.gin.Size() }
func (w *innerWriter) Written() bool               { return w.gin.Written() }

// WriteHeader sets the status to send with the first byte, as gin's does. Unlike
// gin's, it sends 1xx at once.
func (w *innerWriter) WriteHeader(status int) {
	if informational(status) {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.gin.WriteHeader(status)
}

func (w *innerWriter) WriteHeaderNow() {
	if !w.Written() {
		w.ResponseWriter.WriteHeader(w.Status())
	}
}

func (w *innerWriter) Write(p []byte) (int, error) {
	w.WriteHeaderNow()
	return w.ResponseWriter.Write(p)
}

func (w *innerWriter) WriteString(s string) (int, error) {
	w.WriteHeaderNow()
	return io.WriteString(w.ResponseWriter, s)
}

func (w *innerWriter) Flush() { _ = w.FlushError() }

// FlushError is what a [http.ResponseController] calls.
func (w *innerWriter) FlushError() error {
	w.WriteHeaderNow()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *innerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if h, ok := w.ResponseWriter.(http.Hijacker); ok {
		return h.Hijack()
	}
	return nil, nil, http.ErrNotSupported
}

// CloseNotify fires when the client has gone, and when the key ends: gin's
// Stream stops then. Where the server cannot tell, it never fires.
func (w *innerWriter) CloseNotify() <-chan bool {
	if n, ok := w.ResponseWriter.(interface{ CloseNotify() <-chan bool }); ok {
		return n.CloseNotify()
	}
	return nil
}

func (w *innerWriter) Pusher() http.Pusher {
	p, _ := w.ResponseWriter.(http.Pusher)
	return p
}

// outerWriter is gin's writer without its delay: a status is sent when the guard
// says so.
type outerWriter struct{ gin.ResponseWriter }

func (w outerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w outerWriter) WriteHeader(status int) {
	if informational(status) {
		if u, ok := w.ResponseWriter.(interface{ Unwrap() http.ResponseWriter }); ok {
			u.Unwrap().WriteHeader(status) // gin's would take it for the final one
		}
		return
	}
	w.ResponseWriter.WriteHeader(status)
	w.WriteHeaderNow()
}

func informational(status int) bool {
	return status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols
}
