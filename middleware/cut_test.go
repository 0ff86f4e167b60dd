package middleware_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// spy is a ResponseWriter that remembers what is done to the connection.
type spy struct {
	*httptest.ResponseRecorder
	mu          sync.Mutex
	read, write []time.Time
	onRead      func()
	onWrite     func()
}

func newSpy() *spy { return &spy{ResponseRecorder: httptest.NewRecorder()} }

func (s *spy) deadline(list *[]time.Time, hook *func(), t time.Time) error {
	s.mu.Lock()
	*list = append(*list, t)
	f := *hook
	*hook = nil
	s.mu.Unlock()
	if f != nil {
		f()
	}
	return nil
}

func (s *spy) SetReadDeadline(t time.Time) error  { return s.deadline(&s.read, &s.onRead, t) }
func (s *spy) SetWriteDeadline(t time.Time) error { return s.deadline(&s.write, &s.onWrite, t) }

func (s *spy) touched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.read) + len(s.write)
}

func last(list []time.Time) time.Time {
	if len(list) == 0 {
		return time.Time{}
	}
	return list[len(list)-1]
}

// passed reports whether a deadline makes blocked calls return.
func passed(t time.Time) bool { return !t.IsZero() && t.Before(time.Now()) }

// serveSpied runs a request and returns what it panicked with.
func serveSpied(h http.Handler, w http.ResponseWriter, r *http.Request) (panicked any) {
	defer func() { panicked = recover() }()
	h.ServeHTTP(w, r)
	return nil
}

// TestCutBetweenDecisionAndHandler: the handler does not run, and the connection
// goes on.
func TestCutBetweenDecisionAndHandler(t *testing.T) {
	l := new(recorder)
	k := newKit(t, middleware.Options{Limiter: l})
	id, token := k.key()
	l.take = func(limiter.Request) (limiter.Decision, error) {
		k.revoke(id)
		return limiter.Decision{Allowed: true}, nil
	}
	ran := false
	res := serve(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true })), get(token))
	if ran || res.StatusCode != 401 || res.Header.Get("Connection") != "" {
		t.Errorf("ran %v, status %d, Connection %q", ran, res.StatusCode, res.Header.Get("Connection"))
	}
}

// TestCutBeforeTheFirstWrite: whatever the handler does from then on is
// swallowed and returns the cause, and the client gets the refusal.
func TestCutBeforeTheFirstWrite(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	h := handlerFunc(k.guard, apikey.AnyKey(), func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
		w.Header().Set("Set-Cookie", "session=1")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		k.revoke(id)
		w.WriteHeader(http.StatusOK)
		c := http.NewResponseController(w)
		_, writeErr := w.Write([]byte("secret"))
		_, stringErr := io.WriteString(w, "secret")
		_, fromErr := w.(io.ReaderFrom).ReadFrom(&io.LimitedReader{R: zeros{}, N: 9})
		for name, err := range map[string]error{
			"Write": writeErr, "WriteString": stringErr, "ReadFrom": fromErr, "Flush": c.Flush(),
			"SetReadDeadline": c.SetReadDeadline(time.Time{}), "SetWriteDeadline": c.SetWriteDeadline(time.Time{}),
			"context": context.Cause(r.Context()),
		} {
			if !errors.Is(err, apikey.RevokedKey) {
				t.Errorf("%s returns the cause of the cut, got %v", name, err)
			}
		}
	})
	w := newSpy()
	if p := serveSpied(h, w, get(token)); p != nil {
		t.Fatalf("panic: %v", p)
	}
	res := w.Result()
	if res.StatusCode != 401 || res.Header.Get("Content-Type") != "application/problem+json" || res.Header.Get("Connection") != "close" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res.Header.Get("Set-Cookie") != "" || res.Header.Get("RateLimit") != "" || res.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("fields of the handler's response must go, those of middleware around the guard stay: %v", res.Header)
	}
	if !passed(last(w.read)) {
		t.Error("the read deadline is not past: a blocked upload would go on")
	}
	if passed(last(w.write)) {
		t.Error("the write deadline is past: the refusal cannot be written")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestCutBetweenWrites: the response is broken off.
func TestCutBetweenWrites(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	h := handlerFunc(k.guard, apikey.AnyKey(), func(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {
		_, _ = io.WriteString(w, "begun")
		k.revoke(id)
		if _, err := io.WriteString(w, "secret"); !errors.Is(err, apikey.RevokedKey) {
			t.Errorf("got %v", err)
		}
	})
	w := newSpy()
	if p := serveSpied(h, w, get(token)); p != http.ErrAbortHandler { //nolint:errorlint // a panic value
		t.Errorf("a response that has begun ends in ErrAbortHandler, got %v", p)
	}
	if got := w.Body.String(); got != "begun" {
		t.Errorf("written after the cut: %q", got)
	}
	if !passed(last(w.read)) || !passed(last(w.write)) {
		t.Error("both deadlines are past")
	}
}

// TestCutAfterReturn: nothing touches the connection of a request that is over.
func TestCutAfterReturn(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	w := newSpy()
	if p := serveSpied(k.guard.Require(middleware.AnyKey())(noContent), w, get(token)); p != nil {
		t.Fatal(p)
	}
	k.revoke(id)
	if w.touched() != 0 {
		t.Error("the connection of a request that was over has been touched")
	}
}

// TestPanicsPassThrough: also then the request leaves.
func TestPanicsPassThrough(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	w := newSpy()
	h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("mine") }))
	if p := serveSpied(h, w, get(token)); p != "mine" {
		t.Errorf("got %v", p)
	}
	k.revoke(id)
	if w.touched() != 0 {
		t.Error("a request whose handler panicked is still in flight")
	}
}

// TestDeadlinesCannotBeTakenBack: a handler that sets a deadline while it is
// cut does not undo the past one.
func TestDeadlinesCannotBeTakenBack(t *testing.T) {
	for _, begun := range []bool{false, true} {
		k := newKit(t, middleware.Options{})
		id, token := k.key()
		w := newSpy()
		h := handlerFunc(k.guard, apikey.AnyKey(), func(rw http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {
			if begun {
				rw.WriteHeader(http.StatusOK)
			}
			hook := func() { k.revoke(id) }
			if begun {
				w.onWrite = hook
				_ = http.NewResponseController(rw).SetWriteDeadline(time.Now().Add(time.Hour))
				if !passed(last(w.write)) {
					t.Error("the handler's write deadline replaced the cut's")
				}
				return
			}
			w.onRead = hook
			w.mu.Lock()
			w.read = nil
			w.mu.Unlock()
			err := http.NewResponseController(rw).SetReadDeadline(time.Now().Add(time.Hour))
			if !errors.Is(err, apikey.RevokedKey) {
				t.Errorf("got %v", err)
			}
		})
		serveSpied(h, lateSetter{w}, get(token))
		if !begun && !passed(last(w.read)) {
			t.Error("the handler's read deadline replaced the cut's")
		}
	}
}

// lateSetter sets the handler's deadline after the hook ran: the order in which
// the cut loses.
type lateSetter struct{ *spy }

func (l lateSetter) SetReadDeadline(t time.Time) error  { return l.late(&l.read, &l.onRead, t) }
func (l lateSetter) SetWriteDeadline(t time.Time) error { return l.late(&l.write, &l.onWrite, t) }

func (l lateSetter) late(list *[]time.Time, hook *func(), t time.Time) error {
	l.mu.Lock()
	f := *hook
	*hook = nil
	l.mu.Unlock()
	if f != nil {
		f()
	}
	l.mu.Lock()
	*list = append(*list, t)
	l.mu.Unlock()
	return nil
}
