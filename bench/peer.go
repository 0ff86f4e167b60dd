package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gofiber/fiber/v3/middleware/limiter"
)

// An op makes one request with a token of the keyset and returns the status.
// It belongs to one goroutine.
type op func(token uint32) int

// peer is one contestant.
type peer struct {
	name   string
	module string // whose version is printed; "" for none
	how    string // how it is set up
	does   job
	// real is the window that the accuracy suite has to wait for, of a
	// limiter that looks past the virtual clock; its own is a minute.
	real time.Duration
	// open builds it for a keyset. ops makes one op for each goroutine; close
	// gives everything back.
	open func(k *keyset) (ops func() op, close func(), err error)
}

// job is what a contestant does with a token; the parity check holds it to that.
type job int

const (
	verifyAndLimit job = iota
	verifyOnly
	limitOnly
	admitAll
)

// sink is the ResponseWriter of every net/http contestant: the header is
// cleared, not made anew.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header { return s.header }

func (s *sink) Write(p []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return len(p), nil
}

func (s *sink) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
}

// What follows are the abilities of net/http's own writer of HTTP/1, for wrappers
// that look for them.
func (s *sink) Flush() {}

func (s *sink) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrNotSupported }
func (s *sink) SetReadDeadline(time.Time) error              { return nil }
func (s *sink) SetWriteDeadline(time.Time) error             { return nil }

// httpOps drives a handler. Every goroutine has one request object, with a
// context like that of a server, whose Authorization line changes; all
// contestants get the same.
func httpOps(h http.Handler, k *keyset) func() op {
	return func() op {
		ctx := context.WithValue(context.Background(), http.ServerContextKey, &http.Server{})
		ctx, cancel := context.WithCancel(context.WithValue(ctx, http.LocalAddrContextKey, nil))
		_ = cancel // as with a server, somebody could
		line := []string{""}
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://api.example.com/things", nil)
		r.Header = http.Header{
			"Authorization": line, "Accept": {"application/json"}, "User-Agent": {"bench/1"}, "Accept-Encoding": {"gzip"},
		}
		w := &sink{header: make(http.Header, 8)}
		return func(token uint32) int {
			line[0] = k.auth[token]
			w.status = 0
			clear(w.header)
			h.ServeHTTP(w, r)
			return w.status
		}
	}
}

func nothing() {}

var okBody = []byte("ok")

// answer is what the handler of every net/http contestant sends: two bytes, or
// what load sets, the answer of a small API.
var answer = func(w http.ResponseWriter) { _, _ = w.Write(okBody) }

func answerJSON(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(jsonBody)
}

var jsonBody = []byte(`{"id":"thing-7","name":"a thing","state":"ready","count":12}` + "\n")

// bare is the handler under every net/http middleware that puts no principal
// into the context.
func bare(w http.ResponseWriter, _ *http.Request) { answer(w) }

func barePeer() peer {
	return peer{name: "bare", how: "the handler alone", does: admitAll, open: func(k *keyset) (func() op, func(), error) {
		return httpOps(http.HandlerFunc(bare), k), nothing, nil
	}}
}

// wholeJob are the contestants of the peers suite that check a key.
func wholeJob() []peer {
	return []peer{
		barePeer(),
		handTypical(noLimits), handCareful(noLimits),
		handTypical(rateLimits), handCareful(rateLimits),
		handHTTPRate(),
		echoBare(), echoKeyAuth(),
		ginBare(), ginHand(),
		fiberBare(), fiberKeyAuth("fixed", limiter.FixedWindow{}), fiberKeyAuth("sliding", limiter.SlidingWindow{}),
		latchkeyRequire(), latchkeyHandlerFunc(), floorPeer(),
	}
}
