package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// closing is a store that says what it held when it was closed.
type closing struct {
	*memstore.Store
	allowed atomic.Uint64
	refuses atomic.Bool
	closed  chan uint64
}

func (s *closing) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	if s.refuses.Load() {
		return errors.New("out of order")
	}
	for _, d := range batch {
		s.allowed.Add(d.Counts.Allowed)
	}
	return s.Store.AddUsage(ctx, batch)
}

func (s *closing) Close() error {
	s.closed <- s.allowed.Load()
	return s.Store.Close()
}

// served is a real server with a guarded stream and a guarded request that waits
// for its context or for leave.
func served(t *testing.T, k *kit, leave <-chan struct{}) (s *http.Server, url string, begun <-chan string) {
	t.Helper()
	made := make(chan string, 8)
	mux := k.guard.Mux()
	mux.HandleFunc("GET /stream", middleware.AnyKey(), func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
		_, _ = io.WriteString(w, "one\n")
		_ = http.NewResponseController(w).Flush()
		made <- "stream"
		<-r.Context().Done()
		_, _ = io.WriteString(w, "not sent: "+context.Cause(r.Context()).Error())
	})
	mux.HandleFunc("GET /slow", middleware.AnyKey(), func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
		made <- "slow"
		select {
		case <-leave:
			_, _ = io.WriteString(w, "done")
		case <-r.Context().Done():
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &http.Server{Handler: mux}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return s, "http://" + l.Addr().String(), made
}

// soon receives what must come.
func soon[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing comes")
	}
	return v
}

type answered struct {
	status int
	body   string
	err    error
}

func fetched(url, token string) <-chan answered {
	c := make(chan answered, 1)
	go func() {
		q, _ := http.NewRequest("GET", url, nil)
		q.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultTransport.RoundTrip(q)
		if err != nil {
			c <- answered{err: err}
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		c <- answered{res.StatusCode, string(b), err}
	}()
	return c
}

func stopping(t *testing.T, within time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return ctx
}

func TestShutdownLetsRequestsEndAndWritesTheirCounts(t *testing.T) {
	store := &closing{Store: memstore.New(), closed: make(chan uint64, 1)}
	k, leave := newKitOn(t, store, middleware.Options{}, latchkey.Options{}), make(chan struct{})
	_, token := k.key()
	s, url, begun := served(t, k, leave)
	slow := fetched(url+"/slow", token)
	soon(t, begun)
	s.RegisterOnShutdown(func() { close(leave) })
	if err := k.guard.Shutdown(stopping(t, time.Minute), store, s); err != nil {
		t.Fatal(err)
	}
	if a := soon(t, slow); a.status != 200 || a.body != "done" {
		t.Errorf("a request in flight that ends by itself got %+v", a)
	}
	if n := soon(t, store.closed); n != 1 {
		t.Errorf("when the store was closed, %d requests were written, want 1", n)
	}
}

func TestShutdownEndsStreamsThatGoOn(t *testing.T) {
	store := &closing{Store: memstore.New(), closed: make(chan uint64, 1)}
	k := newKitOn(t, store, middleware.Options{}, latchkey.Options{})
	_, token := k.key()
	s, url, begun := served(t, k, nil)
	stream, slow := fetched(url+"/stream", token), fetched(url+"/slow", token)
	soon(t, begun)
	soon(t, begun)
	if err := k.guard.Shutdown(stopping(t, time.Second), store, s); err != nil {
		t.Fatal(err)
	}
	if a := soon(t, stream); a.err == nil || a.body != "one\n" {
		t.Errorf("a stream that was ended reads %+v, want a response that is broken off", a)
	}
	if a := soon(t, slow); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, `"code":"unavailable"`) {
		t.Errorf("a request that was ended before its answer got %+v", a)
	}
	if n := soon(t, store.closed); n != 2 {
		t.Errorf("when the store was closed, %d requests were written, want 2", n)
	}
}

// A connection that a handler took over is in flight, although servers do not wait
// for it: it has its time, too, and is cut after that.
func TestShutdownGivesHijackedConnectionsTheirTime(t *testing.T) {
	k := newKitOn(t, memstore.New(), middleware.Options{}, latchkey.Options{})
	_, token := k.key()
	bye, taken := make(chan struct{}), make(chan struct{}, 2)
	s := httptest.NewServer(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		taken <- struct{}{}
		if r.URL.Path == "/stays" {
			<-r.Context().Done()
			return
		}
		<-bye
		_, _ = io.WriteString(conn, "bye")
	})))
	defer s.Close()
	said := func(path string) (string, error) {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			return "", err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer %s\r\n\r\n", path, token)
		b, err := io.ReadAll(conn)
		return string(b), err
	}
	leaves, stays := make(chan string, 1), make(chan error, 1)
	go func() {
		text, err := said("/leaves")
		leaves <- fmt.Sprint(text, err)
	}()
	go func() {
		_, err := said("/stays")
		stays <- err
	}()
	soon(t, taken)
	soon(t, taken)
	s.Config.RegisterOnShutdown(func() { close(bye) })
	if err := k.guard.Shutdown(stopping(t, time.Second), nil, s.Config); err != nil {
		t.Fatal(err)
	}
	if got := soon(t, leaves); got != "bye<nil>" {
		t.Errorf("a connection that says goodbye: %q", got)
	}
	if err := soon(t, stays); err == nil {
		t.Error("a connection that stays ends as if by itself")
	}
}

func TestShutdownKeepsTheStoreOpenForWhatIsNotWritten(t *testing.T) {
	store := &closing{Store: memstore.New(), closed: make(chan uint64, 1)}
	k := newKitOn(t, store, middleware.Options{}, latchkey.Options{})
	_, token := k.key()
	done := make(chan struct{})
	close(done)
	s, url, _ := served(t, k, done)
	if a := soon(t, fetched(url+"/slow", token)); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	store.refuses.Store(true)
	if err := k.guard.Shutdown(stopping(t, time.Second), store, s); err == nil {
		t.Error("Shutdown hides that counts could not be written")
	}
	if len(store.closed) > 0 {
		t.Fatal("the store was closed although counts are left")
	}
	store.refuses.Store(false)
	if err := k.guard.Shutdown(stopping(t, time.Minute), store, s); err != nil {
		t.Fatal(err)
	}
	if n := soon(t, store.closed); n != 1 {
		t.Errorf("when the store was closed, %d requests were written, want 1", n)
	}
}

// stuck is a store that does not close.
type stuck struct{ release chan struct{} }

func (s stuck) Close() error { <-s.release; return nil }

// deaf is a server that does not shut down, whatever its context says.
type deaf struct{ release chan struct{} }

func (d deaf) Shutdown(context.Context) error { <-d.release; return nil }

func TestShutdownWaitsForNobodyBeyondItsContext(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	k := newKit(t, middleware.Options{}, latchkey.Options{})
	store := &closing{Store: memstore.New(), closed: make(chan uint64, 1)}
	if err := k.guard.Shutdown(stopping(t, time.Second), store, deaf{release}); err == nil || !strings.Contains(err.Error(), "deaf has not shut down in time") {
		t.Errorf("with a server that never ends, and cannot be closed: %v", err)
	}
	soon(t, store.closed)
	done := make(chan error, 1)
	go func() { done <- k.guard.Shutdown(stopping(t, 200*time.Millisecond), stuck{release}) }()
	if err := soon(t, done); err == nil || !strings.Contains(err.Error(), "the store has not closed in time") {
		t.Errorf("with a store that does not close: %v", err)
	}
}

func TestListenAndServeClosesEverythingWhenItCannotServe(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	store := &closing{Store: memstore.New(), closed: make(chan uint64, 1)}
	k := newKitOn(t, store, middleware.Options{}, latchkey.Options{})
	if err := k.guard.ListenAndServe(&http.Server{Addr: taken.Addr().String()}, store); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("on an address that is taken: %v", err)
	}
	soon(t, store.closed)
}

func TestListenAndServeReturnsNilWhenTheServerWasShutDown(t *testing.T) {
	store := &closing{Store: memstore.New(), closed: make(chan uint64, 1)}
	k := newKitOn(t, store, middleware.Options{}, latchkey.Options{})
	s := &http.Server{Addr: "127.0.0.1:0"}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := k.guard.ListenAndServe(s, store); err != nil {
		t.Error(err)
	}
	soon(t, store.closed)
	if s.ReadHeaderTimeout == 0 {
		t.Error("a client that never finishes its header holds its connection for ever")
	}
}
