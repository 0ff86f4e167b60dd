package middleware

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// plainWriter is the ResponseWriter that an admitted handler gets. It passes
// everything on until the request is cut; after that it swallows, and returns
// the cause. It also holds the state of its call: the types below and
// [requestContext] are views of the same memory with other methods, so that a
// handler finds the interfaces that the server's own writer has and no others.
type plainWriter struct {
	under    http.ResponseWriter
	original *http.Request // as the server made it
	guard    *Guard
	inner    atomic.Pointer[innerContext]
	flight   apikey.Flight
	state    atomicState
}

// flushWriter is for writers that stream.
type flushWriter struct{ plainWriter }

// hijackWriter is for HTTP/1.
type hijackWriter struct{ flushWriter }

// http2Writer is for HTTP/2.
type http2Writer struct{ flushWriter }

type unwrapper interface{ Unwrap() http.ResponseWriter }

// writer returns the view that offers what the server's writer can do.
func (c *call) writer() http.ResponseWriter {
	switch c.w.under.(type) {
	case interface {
		http.Flusher
		http.Hijacker
	}:
		return &c.w
	case interface {
		http.Flusher
		http.Pusher
	}:
		return c.http2Writer()
	}
	return c.probe()
}

// probe looks at what other middleware may have put around the server's
// writer. An ability that a ResponseController would find must not be reached
// past ours.
func (c *call) probe() http.ResponseWriter {
	var flush, hijack, push bool
	for w := c.w.under; w != nil; {
		switch w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			flush = true
		}
		if _, ok := w.(http.Hijacker); ok {
			hijack = true
		}
		if _, ok := w.(http.Pusher); ok {
			push = true
		}
		u, ok := w.(unwrapper)
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	switch {
	case hijack:
		return &c.w
	case push:
		return c.http2Writer()
	case flush:
		return &c.w.flushWriter
	}
	return &c.w.plainWriter
}

func (w *plainWriter) isCut() bool { return w.state.Load()&cut != 0 }

// or returns the cause instead of err when the request is cut.
func (w *plainWriter) or(err error) error {
	if s := w.state.Load(); s&cut != 0 {
		return s.cause()
	}
	return err
}

func (w *plainWriter) Header() http.Header { return w.under.Header() }

func (w *plainWriter) WriteHeader(status int) {
	if status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols {
		if !w.isCut() { // informational: the response has not begun
			w.under.WriteHeader(status)
		}
		return
	}
	if w.state.send(status) {
		w.under.WriteHeader(status)
	}
}

func (w *plainWriter) Write(p []byte) (int, error) {
	if !w.state.send(http.StatusOK) {
		return 0, w.or(nil)
	}
	n, err := w.under.Write(p)
	if err != nil {
		err = w.or(err)
	}
	return n, err
}

func (w *plainWriter) WriteString(s string) (int, error) {
	if !w.state.send(http.StatusOK) {
		return 0, w.or(nil)
	}
	n, err := io.WriteString(w.under, s)
	if err != nil {
		err = w.or(err)
	}
	return n, err
}

// ReadFrom keeps sendfile working.
func (w *plainWriter) ReadFrom(src io.Reader) (int64, error) {
	to, ok := w.under.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	if !w.state.send(http.StatusOK) {
		return 0, w.or(nil)
	}
	n, err := to.ReadFrom(src)
	if err != nil {
		err = w.or(err)
	}
	return n, err
}

// SetReadDeadline and SetWriteDeadline look again afterwards: a handler that
// sets a deadline while it is being cut must not take the past one away.
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
			_ = c.SetWriteDeadline(past)
		}
		return s.cause()
	}
	return err
}

func (w *plainWriter) EnableFullDuplex() error {
	return http.NewResponseController(w.under).EnableFullDuplex()
}

// Unwrap returns the server's writer. What is written there is not held back
// after a cut.
func (w *plainWriter) Unwrap() http.ResponseWriter { return w.under }

func (w *flushWriter) Flush() { _ = w.FlushError() }

func (w *flushWriter) FlushError() error {
	if !w.state.send(http.StatusOK) {
		return w.or(nil)
	}
	if err := http.NewResponseController(w.under).Flush(); err != nil {
		return w.or(err)
	}
	return nil
}

func (w *http2Writer) Push(target string, o *http.PushOptions) error {
	if w.isCut() {
		return w.or(nil)
	}
	for under := w.under; ; {
		if p, ok := under.(http.Pusher); ok {
			return p.Push(target, o)
		}
		u, ok := under.(unwrapper)
		if !ok {
			return http.ErrNotSupported
		}
		under = u.Unwrap()
	}
}
