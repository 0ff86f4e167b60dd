package admin

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// bulkhead bounds how many requests may read at the same time, so that no flood
// of them takes the processors away from the API beside this handler. Changes
// bypass it: a revocation never waits behind lists. A request that waits too
// long is refused, and no work is done for it.
type bulkhead struct{ places, queue chan struct{} }

const (
	// mostWaiting is how many requests may wait for a place.
	mostWaiting = 256
	// longestWait is how long a request waits.
	longestWait = 5 * time.Second
)

// newBulkhead leaves half of the processors to others.
func newBulkhead() *bulkhead {
	return &bulkhead{make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), make(chan struct{}, mostWaiting)}
}

var errBusy = &failure{
	info:   apikey.Unavailable.Info(),
	detail: "there are more requests here than can be answered: try again after the time in Retry-After",
	header: http.Header{"Retry-After": {"1"}}, overload: true,
}

// enter takes a place; the caller gives it back with leave.
func (b *bulkhead) enter(ctx context.Context) error {
	select {
	case b.places <- struct{}{}:
		return nil
	default:
	}
	select {
	case b.queue <- struct{}{}:
		defer func() { <-b.queue }()
	default:
		return errBusy
	}
	late := time.NewTimer(longestWait)
	defer late.Stop()
	select {
	case b.places <- struct{}{}:
		return nil
	case <-late.C:
		return errBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bulkhead) leave() { <-b.places }

// enter takes a place for a request that reads. The place is given back before
// the answer is sent, because a slow client may take its time to receive it.
func (c *call) enter() error {
	if c.inside {
		return nil
	}
	if err := c.h.bulkhead.enter(c.r.Context()); err != nil {
		return err
	}
	c.inside = true
	return nil
}

func (c *call) leave() {
	if c.inside {
		c.inside = false
		c.h.bulkhead.leave()
	}
}
