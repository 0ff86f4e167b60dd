package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
	"github.com/wontopos/latchkey/storage/memstore"
)

// revokeShape is how large a run is.
type revokeShape struct {
	inFlight int // requests with one key when it is revoked
	rounds   int
	clients  int           // that hammer one key while it is revoked
	hammer   time.Duration // before, and again after
}

// revokeSuite measures how soon a revoked key is of no use any more: to those
// who are being served, and to those who still send it.
func revokeSuite(o *options, out *report) error {
	return revokeWith(o, out, revokeShape{1000, o.plan.rounds, 4, 20 * time.Millisecond})
}

// quiet is for what logs.
var quiet = slog.New(slog.DiscardHandler)

// revokeStores are the contestants.
var revokeStores = []struct {
	name string
	open func(dir string) (storage.Store, func(), error)
}{
	{"memstore", func(string) (storage.Store, func(), error) { return memstore.New(), nothing, nil }},
	{"badgerstore", func(dir string) (storage.Store, func(), error) {
		s, err := badgerstore.Open(dir, badgerstore.Options{Logger: quiet})
		if err != nil {
			return nil, nil, err
		}
		return s, func() { _ = s.Close() }, nil
	}},
}

func revokeWith(o *options, out *report, shape revokeShape) error {
	var cuts []cutFigures
	var lasts []lastFigures
	for _, s := range revokeStores {
		if !o.only.MatchString(s.name) {
			continue
		}
		out.progress("revoke: %s", s.name)
		c, l, err := revokeOn(s.open, shape)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		c.store, l.store = s.name, s.name
		cuts, lasts = append(cuts, c), append(lasts, l)
	}
	reportCuts(out, shape, cuts)
	reportLasts(out, shape, lasts)
	return nil
}

func revokeOn(open func(string) (storage.Store, func(), error), shape revokeShape) (c cutFigures, l lastFigures, err error) {
	dir, err := os.MkdirTemp("", "latchkey-bench-")
	if err != nil {
		return c, l, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store, closer, err := open(dir)
	if err != nil {
		return c, l, err
	}
	defer closer()
	s, err := newRevokeServer(store)
	if err != nil {
		return c, l, err
	}
	defer s.close()
	if c, err = s.measureCut(shape); err != nil {
		return c, l, err
	}
	l, err = s.measureLast(shape)
	return c, l, err
}

// revokeServer is a real server on 127.0.0.1, in this process: one clock tells
// what its handlers see and when Revoke was called.
type revokeServer struct {
	keys    *latchkey.Service
	guard   *middleware.Guard
	server  *http.Server
	address string

	// Of the requests to /wait.
	waiting, landed atomic.Int64
	ends            []time.Time // when each was unblocked; the first landed are set
}

func newRevokeServer(store storage.Store) (*revokeServer, error) {
	plan := apikey.Plan{Name: "bench", Limits: []apikey.Limit{apikey.PerMinute(roomy.minute), apikey.PerDay(roomy.day)}}
	keys, err := latchkey.New(store, latchkey.Options{Plans: []apikey.Plan{plan}, Logger: quiet})
	if err != nil {
		return nil, err
	}
	guard, err := middleware.New(keys, middleware.Options{Logger: quiet})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &revokeServer{keys: keys, guard: guard, address: l.Addr().String()}
	mux := guard.Mux()
	mux.HandleFunc("GET /now", middleware.AllOf(need), func(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {
		_, _ = w.Write(okBody)
	})
	mux.HandleFunc("GET /wait", middleware.AllOf(need), s.wait)
	s.server = &http.Server{Handler: mux}
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

func (s *revokeServer) close() {
	ctx := context.Background()
	_ = s.server.Close()
	_ = s.guard.Close(ctx)
	_ = s.keys.Close(ctx)
}

// wait is the handler that blocks until it is cut.
func (s *revokeServer) wait(_ http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
	done := r.Context().Done()
	s.waiting.Add(1)
	<-done
	end := time.Now()
	s.ends[s.landed.Add(1)-1] = end
}

// revokeBy is who revokes.
var revokeBy = apikey.Actor{ID: "bench"}

func (s *revokeServer) newKey() (id, auth string, err error) {
	key, token, err := s.keys.Create(context.Background(), revokeBy, latchkey.NewKey{Name: "bench", Owner: "bench", Scopes: []string{need}})
	return key.ID, "Bearer " + token.Reveal(), err
}

// revoke returns when Revoke was called and when it returned.
func (s *revokeServer) revoke(id string) (called, returned time.Time, err error) {
	called = time.Now()
	_, err = s.keys.Revoke(context.Background(), revokeBy, id, "bench")
	return called, time.Now(), err
}

// revokeClient is a keep-alive connection that waits for its answers.
type revokeClient struct {
	conn        net.Conn
	reader      *bufio.Reader
	now, parked []byte // the requests
}

func (s *revokeServer) dial(auth string) (*revokeClient, error) {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	request := func(path string) []byte {
		return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: %s\r\n\r\n", path, auth)
	}
	return &revokeClient{conn, bufio.NewReader(conn), request("/now"), request("/wait")}, nil
}

// read returns the status of the next answer, and whether the connection stays.
func (c *revokeClient) read() (status int, keep bool, err error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(answerWithin))
	r, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, false, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return r.StatusCode, !r.Close, errors.Join(err, r.Body.Close())
}

func (c *revokeClient) get() (status int, keep bool, err error) {
	if _, err := c.conn.Write(c.now); err != nil {
		return 0, false, err
	}
	return c.read()
}
