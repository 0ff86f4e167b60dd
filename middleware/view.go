package middleware

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/wontopos/latchkey/internal/abort"
)

// The views of a call. All of them have what a [http.ResponseController] asks
// for, and answer with [http.ErrNotSupported] where the server cannot do it.
// They differ in what a type assertion finds, because a handler has no other
// way to tell:
//
//	plainWriter               a writer that only writes
//	flushWriter   Flush       one that streams, such as httptest's
//	streamWriter  Flush, CloseNotify         older middleware's, without Unwrap
//	pushWriter    Push        http.TimeoutHandler's
//	hijackWriter  Hijack      one that can be taken over, and cannot stream
//	http1Writer   Flush, Hijack, CloseNotify
//	http2Writer   Flush, Push, CloseNotify
//
// flushWriter and http1Writer have ReadFrom. The views of the server's HTTP/2
// writer, of http.TimeoutHandler's and of older middleware's do not, because
// those writers have none.
// CloseNotify uses the request's context, so it works wherever it is offered.
type (
	flushWriter  struct{ plainWriter }
	streamWriter struct{ plainWriter }
	pushWriter   struct{ plainWriter }
	hijackWriter struct{ plainWriter }
	http1Writer  struct{ plainWriter }
	http2Writer  struct{ plainWriter }
)

func (w *flushWriter) Flush()                                    { _ = w.FlushError() }
func (w *flushWriter) ReadFrom(src io.Reader) (n int64, e error) { return w.readFrom(src) }

func (w *streamWriter) Flush()                   { _ = w.FlushError() }
func (w *streamWriter) CloseNotify() <-chan bool { return w.closeNotify() }

func (w *pushWriter) Push(target string, o *http.PushOptions) error { return w.push(target, o) }

func (w *hijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

func (w *http1Writer) Flush()                                       { _ = w.FlushError() }
func (w *http1Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }
func (w *http1Writer) CloseNotify() <-chan bool                     { return w.closeNotify() }
func (w *http1Writer) ReadFrom(src io.Reader) (n int64, e error)    { return w.readFrom(src) }

func (w *http2Writer) Flush()                                        { _ = w.FlushError() }
func (w *http2Writer) Push(target string, o *http.PushOptions) error { return w.push(target, o) }
func (w *http2Writer) CloseNotify() <-chan bool                      { return w.closeNotify() }

// writer returns the view that offers what the server's writer can do. A writer
// that wraps it may claim more than it has, as gin's does, or show less.
func (c *httpCall) writer() http.ResponseWriter {
	server := c.w.under
	if _, wrapped := server.(unwrapper); wrapped {
		server = abort.Innermost(server)
	}
	switch server.(type) {
	case interface { // HTTP/1 of net/http
		http.Flusher
		http.Hijacker
		deadliner
	}:
		return &c.w
	case interface { // HTTP/2
		http.Flusher
		http.Pusher
		deadliner
	}:
		return (*http2Writer)(&c.w)
	}
	return c.otherWriter(server)
}

// otherWriter is writer for a writer that no net/http server made.
func (c *httpCall) otherWriter(last http.ResponseWriter) http.ResponseWriter {
	if _, ok := last.(deadliner); !ok {
		c.w.hidden(last)
	}
	flush := flushes(last)
	switch last.(type) {
	case http.Hijacker:
		if flush {
			return &c.w
		}
		return (*hijackWriter)(&c.w)
	case http.Pusher:
		if flush {
			return (*http2Writer)(&c.w)
		}
		return (*pushWriter)(&c.w)
	case interface{ CloseNotify() <-chan bool }:
		if flush {
			return (*streamWriter)(&c.w)
		}
		return c.plain()
	}
	if flush {
		return (*flushWriter)(&c.w)
	}
	return c.plain()
}

type unwrapper interface{ Unwrap() http.ResponseWriter }

// deadliner is how a cut reaches the connection.
type deadliner interface{ SetWriteDeadline(time.Time) error }

func flushes(w http.ResponseWriter) bool {
	switch w.(type) {
	case http.Flusher, interface{ FlushError() error }:
		return true
	}
	return false
}

// hidden logs, once, that a server's connection is out of reach. It ignores
// writers that no server made, such as a test's.
func (w *plainWriter) hidden(last http.ResponseWriter) {
	if w.parent.Value(http.ServerContextKey) == nil {
		return
	}
	w.door.guard.hidden.Do(func() {
		w.door.guard.o.Logger.Warn("a ResponseWriter around the guard hides the connection: requests whose key ends are woken late, "+
			"and a response that has begun looks complete if middleware recovers panics. Give the writer an Unwrap method, "+
			"or put it inside the guard", "writer", fmt.Sprintf("%T", last))
	})
}

// FlushError implements flushing for [http.ResponseController].
func (w *plainWriter) FlushError() error {
	if !flushes(abort.Innermost(w.under)) {
		return fmt.Errorf("%w", http.ErrNotSupported)
	}
	if !w.begin(http.StatusOK) {
		return w.or(nil)
	}
	if err := http.NewResponseController(w.under).Flush(); err != nil {
		return w.or(err)
	}
	return nil
}

func (w *plainWriter) push(target string, o *http.PushOptions) error {
	if w.isCut() {
		return w.or(nil)
	}
	if p, ok := abort.Innermost(w.under).(http.Pusher); ok {
		return p.Push(target, o)
	}
	return http.ErrNotSupported
}

// readFrom keeps sendfile working.
func (w *plainWriter) readFrom(src io.Reader) (int64, error) {
	to, ok := w.under.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	if !w.begin(http.StatusOK) {
		return 0, w.or(nil)
	}
	if _, ok := abort.Innermost(w.under).(deadliner); !ok {
		src = &cutReader{src, w} // nothing else would stop the copy
	}
	n, err := to.ReadFrom(src)
	if err != nil {
		err = w.or(err)
	}
	return n, err
}

// cutReader reads until the request is cut.
type cutReader struct {
	io.Reader
	w *plainWriter
}

func (r *cutReader) Read(p []byte) (int, error) {
	if r.w.isCut() {
		return 0, r.w.or(nil)
	}
	return r.Reader.Read(p)
}

// closeNotify fires when the request's context ends: when the client has gone,
// as the server's own does, and when the request is cut.
func (w *plainWriter) closeNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc((*requestContext)(&w.passage), func() { gone <- true })
	return gone
}
