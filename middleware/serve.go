package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	// stopWithin is how long a program that is told to stop may take: five seconds
	// less than Kubernetes waits before it kills a container.
	stopWithin = 25 * time.Second
	// lastWords is how long a request has, once it was ended, to return.
	lastWords = time.Second
	// headerWithin is the default of [http.Server.ReadHeaderTimeout] here: without
	// one, clients that never finish a header hold connections for ever.
	headerWithin = 10 * time.Second
)

// ListenAndServe serves until the process is told to stop (SIGINT or SIGTERM), or
// s is shut down, and then closes everything as [Guard.Shutdown] does, within 25
// seconds. A second signal ends the process at once. It serves TLS if s.TLSConfig
// has certificates, and gives s a ReadHeaderTimeout of ten seconds if it has none.
//
// The store is what the service stands on; nil leaves it open. An error says why s
// could not serve, or what could not be closed or written; everything that could
// be closed has been in any case.
func (g *Guard) ListenAndServe(s *http.Server, store io.Closer) error {
	told, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if s.ReadHeaderTimeout == 0 {
		s.ReadHeaderTimeout = headerWithin
	}
	ended := make(chan error, 1)
	go func() { ended <- listenAndServe(s) }()
	var err error
	select {
	case err = <-ended:
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
	case <-told.Done():
		stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	return errors.Join(err, g.Shutdown(ctx, store, s))
}

func listenAndServe(s *http.Server) error {
	if c := s.TLSConfig; c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil) {
		return s.ListenAndServeTLS("", "")
	}
	return s.ListenAndServe()
}

// Shutdown ends a program in the right order:
//
//  1. The servers accept no more, and requests, hijacked connections among them,
//     have half of the time that ctx gives, or ten seconds without a deadline, to
//     end by themselves.
//  2. Guarded requests that remain are cut with the cause [apikey.Unavailable],
//     as if the store could not be asked: their context ends, the client gets a
//     503 or a response that does not look complete. They have a second to return,
//     or less if ctx gives less than four.
//     Then the servers are closed, if they have a method Close, as an
//     [http.Server] has.
//  3. The Guard, its service and the store are closed, in this order: counts are
//     written. nil leaves the store open.
//
// Streams that should end at the beginning of the first step, with words of their
// own, need to be told by [http.Server.RegisterOnShutdown]. Several Guards of one
// service: call Close of the others first.
//
// Shutdown returns nil once everything is written and closed, also if requests had
// to be cut. It returns when ctx ends, whatever servers and the store do. After an
// error call it again to continue: what is closed stays so.
func (g *Guard) Shutdown(ctx context.Context, store io.Closer, servers ...interface {
	Shutdown(ctx context.Context) error
},
) error {
	grace := 10 * time.Second
	if end, ok := ctx.Deadline(); ok {
		grace = time.Until(end) / 2
	}
	shut := func(grace time.Duration) (done bool, err error) {
		ctx, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		results := make(chan error, len(servers))
		for _, s := range servers {
			go func() { results <- s.Shutdown(ctx) }()
		}
		for range servers {
			err = errors.Join(err, soonest(ctx, results, ctx.Err))
		}
		return ctx.Err() == nil, err
	}
	end := time.Now().Add(grace)
	done, err := shut(grace)
	g.idle(ctx, end) // servers do not wait for hijacked connections
	g.engine.CutAll()
	if !done {
		if done, err = shut(min(lastWords, grace/2)); !done {
			err = nil
			for _, s := range servers {
				if c, ok := s.(io.Closer); ok {
					err = errors.Join(err, c.Close())
				} else {
					err = errors.Join(err, fmt.Errorf("middleware: a %T has not shut down in time, and has no Close", s))
				}
			}
		}
	}
	unwritten := errors.Join(g.Close(ctx), g.keys.Close(ctx))
	if unwritten == nil && store != nil { // otherwise the store is needed once more
		closed := make(chan error, 1)
		go func() { closed <- store.Close() }()
		err = errors.Join(err, soonest(ctx, closed, func() error { return errStoreOpen }))
	}
	return errors.Join(err, unwritten)
}

var errStoreOpen = errors.New("middleware: everything is written, but the store has not closed in time")

// soonest receives an error, or returns what late says if ctx ends first.
func soonest(ctx context.Context, c <-chan error, late func() error) error {
	select {
	case err := <-c:
		return err
	case <-ctx.Done():
		return late()
	}
}

// idle waits until no request with a key is in flight, or until end.
func (g *Guard) idle(ctx context.Context, end time.Time) {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond) // looking at 100,000 keys takes some 20
	defer tick.Stop()
	for g.engine.Busy() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
