package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// The writers of other middleware, with more and less of the server's.
type (
	bare    struct{ http.ResponseWriter }
	wrapper struct{ http.ResponseWriter }
)

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type hijackable struct {
	http.ResponseWriter
	conn func() net.Conn
}

func (h hijackable) Flush() {}
func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := h.conn()
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

type pusher struct{ http.ResponseWriter }

func (pusher) Flush()                               {}
func (pusher) Push(string, *http.PushOptions) error { return nil }

// TestWriterOffersWhatTheServerDoes: a handler that asks for an interface gets
// the truth, through whatever wraps the server's writer.
func TestWriterOffersWhatTheServerDoes(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	rec := httptest.NewRecorder()
	h1 := hijackable{rec, nil}
	for _, c := range []struct {
		name                string
		w                   http.ResponseWriter
		flush, hijack, push bool
	}{
		{"nothing", bare{rec}, false, false, false},
		{"flush", rec, true, false, false},
		{"HTTP/1", h1, true, true, false},
		{"HTTP/2", pusher{rec}, true, false, true},
		{"HTTP/1, wrapped twice", wrapper{wrapper{h1}}, true, true, false},
		{"HTTP/2, wrapped", wrapper{pusher{rec}}, true, false, true},
		{"wrapped without Unwrap", bare{h1}, false, false, false},
	} {
		h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, flush := w.(http.Flusher)
			_, hijack := w.(http.Hijacker)
			p, push := w.(http.Pusher)
			if flush != c.flush || hijack != c.hijack || push != c.push {
				t.Errorf("%s: flush %v, hijack %v, push %v", c.name, flush, hijack, push)
			}
			if push && p.Push("/style.css", nil) != nil {
				t.Errorf("%s: push fails", c.name)
			}
			if _, ok := w.(context.Context); ok {
				t.Errorf("%s: a ResponseWriter is no context", c.name)
			}
		}))
		h.ServeHTTP(c.w, get(token))
	}
}

// TestHijackedConnectionStaysInFlight: until it is closed, and no longer.
func TestHijackedConnectionStaysInFlight(t *testing.T) {
	for name, closes := range map[string]bool{"open": false, "closed": true} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, middleware.Options{})
			id, token := k.key()
			ours, theirs := net.Pipe()
			defer theirs.Close()
			watched := &watchedConn{Conn: ours}
			h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
				}
				if closes {
					_ = conn.Close()
				}
			}))
			h.ServeHTTP(hijackable{httptest.NewRecorder(), func() net.Conn { return watched }}, get(token))
			before := watched.closed
			k.revoke(id)
			if closed := watched.closed - before; closed != map[bool]int{false: 1, true: 0}[closes] {
				t.Errorf("the revocation closed the connection %d times", closed)
			}
		})
	}
}

type watchedConn struct {
	net.Conn
	closed int
}

func (c *watchedConn) Close() error { c.closed++; return c.Conn.Close() }

// TestHijackWhileCut: the handler does not get the connection.
func TestHijackWhileCut(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	watched := &watchedConn{Conn: ours}
	h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, apikey.RevokedKey) {
			t.Errorf("got %v", err)
		}
	}))
	h.ServeHTTP(hijackable{httptest.NewRecorder(), func() net.Conn { k.revoke(id); return watched }}, get(token))
	if watched.closed == 0 {
		t.Error("the connection is open")
	}
}

// TestCutDoesNotWaitForTheClient: closing a TLS connection says goodbye first,
// for seconds if the client does not read. A cut closes what lies below.
func TestCutDoesNotWaitForTheClient(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	below := &watchedConn{Conn: ours}
	polite := &politeConn{watchedConn{Conn: ours}, below}
	h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := http.NewResponseController(w).Hijack(); err != nil {
			t.Error(err)
		}
	}))
	h.ServeHTTP(hijackable{httptest.NewRecorder(), func() net.Conn { return polite }}, get(token))
	k.revoke(id)
	if polite.closed != 0 || below.closed != 1 {
		t.Errorf("closed %d times politely, %d times below", polite.closed, below.closed)
	}
}

type politeConn struct {
	watchedConn
	below net.Conn
}

func (c *politeConn) NetConn() net.Conn { return c.below }

// TestReadFromReachesTheServer: so that sendfile does.
func TestReadFromReachesTheServer(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
	h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, &io.LimitedReader{R: zeros{}, N: 100})
	}))
	h.ServeHTTP(w, get(token))
	if w.n != 100 {
		t.Errorf("ReadFrom got %d bytes", w.n)
	}
}

type readerFrom struct {
	*httptest.ResponseRecorder
	n int64
}

func (r *readerFrom) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(io.Discard, src)
	r.n += n
	return n, err
}
