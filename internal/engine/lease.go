package engine

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/foreign"
	"github.com/wontopos/latchkey/storage"
)

// lease keeps the cache of one process correct while other processes change the
// keys of the same store ([storage.Feed]).
//
// Its invariant: **the cache is trusted only while the lease holds, and the
// lease ends a fixed time after the last poll was sent whose answer has been
// applied completely.** A change committed before that poll was sent was in the
// answer, and is applied. A change committed later may go unseen for no longer
// than one lease after its commit. No clock of another machine is used.
//
// The end is kept on two clocks of this machine, which must both agree: the
// monotonic clock, which clock steps do not move, and the wall clock, which
// continues while the machine sleeps.
type lease struct {
	eng    *Engine
	feed   storage.Feed
	callee *foreign.Callee
	o      Lease

	until  atomic.Pointer[leaseEnd]
	failed atomic.Bool // the last poll
	push   atomic.Bool

	turn chan struct{} // holds a token while nobody polls
	wake chan struct{} // poll now
	seen chan struct{} // a poll has been answered

	// Guarded by turn.
	epoch    string
	position uint64          // up to which the feed is applied
	asked    time.Time       // when the last poll was sent
	acked    uint64          // and up to which requests in flight have been judged
	behind   map[string]bool // keys with requests in flight whose new state could not be read yet

	delays delays

	mu      sync.Mutex
	health  FeedState
	revoked map[string]time.Time // keys that this process has revoked recently: see startOver
}

// leaseEnd is a time on two clocks: since processStart, and since 1970.
type leaseEnd struct{ mono, wall int64 }

// Lease says how processes that share a store keep up with each other: see
// LeaseOptions of the root package.
type Lease struct {
	Instance      string
	Length        time.Duration
	Every         time.Duration
	StaleIfError  time.Duration
	InflightGrace time.Duration
	Async         bool
}

func newLease(eng *Engine, feed storage.Feed, o Lease) *lease {
	l := &lease{
		eng: eng, feed: feed, callee: &foreign.Callee{Name: "the feed", Log: eng.o.Log}, o: o, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), seen: make(chan struct{}, 1),
		behind: make(map[string]bool), revoked: make(map[string]time.Time),
	}
	l.turn <- struct{}{}
	l.until.Store(new(leaseEnd))
	l.push.Store(true)
	return l
}

// begin polls once, for as long as a request may wait, and then starts the
// goroutines. While nobody knows whether the lease holds, requests wait, and so
// many strangers can ask that those with good keys find no room: so none should
// come before.
func (l *lease) begin() {
	ctx, cancel := context.WithTimeout(context.Background(), l.eng.o.StoreTimeout)
	defer cancel()
	<-l.turn
	l.pollFor(ctx)
	l.eng.workers.Go(l.run)
}

// length is how long the cache is trusted.
func (l *lease) length() time.Duration { return l.o.Length + l.o.StaleIfError }

// holds reports whether the cache may be trusted at the given time.
func (l *lease) holds(at time.Time) bool {
	end := l.until.Load()
	return int64(at.Sub(processStart)) < end.mono && at.UnixNano() < end.wall
}

// extend renews the lease from the time when a poll was sent.
func (l *lease) extend(sent time.Time) {
	l.until.Store(&leaseEnd{int64(sent.Sub(processStart) + l.length()), sent.Add(l.length()).UnixNano()})
	l.failed.Store(false)
}

// leaseBackoff is the minimum time between failed polls.
const leaseBackoff = 100 * time.Millisecond

// How long a request waits for a poll that another request has sent.
const leasePatience = time.Second

// confirm makes sure that the cache can be trusted now, by a poll if necessary.
// Once polls fail, only run looks for the store: requests are answered at once,
// so an outage does not become a storm of polls. Waiting requests are counted
// in the queue of their key.
func (l *lease) confirm(ctx context.Context, n *readQueue) error {
	if l.failed.Load() || !n.enter() {
		return apikey.Unavailable
	}
	defer n.exit()
	if err := l.eng.Enter(); err != nil {
		return err
	}
	defer l.eng.Leave()
	patience := time.NewTimer(leasePatience)
	defer patience.Stop()
	select {
	case <-l.turn:
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return apikey.Unavailable
	}
	if l.holds(time.Now()) { // the previous holder of the turn has done it
		l.turn <- struct{}{}
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, l.eng.o.StoreTimeout)
	defer cancel()
	p := l.pollFor(waiting)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case p.err != nil || !l.holds(time.Now()):
		return apikey.Unavailable
	}
	return nil
}

// run polls until the service is closed.
func (l *lease) run() {
	l.eng.workers.Go(l.listen)
	for {
		wait := l.o.Every - mathrand.N(l.o.Every/8+1)
		if l.failed.Load() {
			wait = min(wait, leaseBackoff+mathrand.N(leaseBackoff))
		}
		select {
		case <-l.eng.stopped.Done():
			return
		case <-l.wake:
		case <-time.After(wait):
		}
		select {
		case <-l.turn:
		case <-l.eng.stopped.Done():
			return
		}
		_ = l.poll(l.eng.stopped)
		l.overdue()
		l.turn <- struct{}{}
	}
}

// listen forwards the store's hints.
func (l *lease) listen() {
	for l.eng.stopped.Err() == nil {
		_, err := foreign.Call(l.eng.stopped, l.callee, func(ctx context.Context) (none struct{}, err error) { return none, l.feed.Await(ctx) })
		switch {
		case err == nil:
			l.push.Store(true)
			select {
			case <-l.seen: // from a poll that began before the news
			default:
			}
			l.hint()
			// Await may keep reporting the same news until a poll has begun: called
			// again before that, it would return at once, over and over.
			select {
			case <-l.seen:
			case <-l.eng.stopped.Done():
			}
		case errors.Is(err, storage.ErrNoPush):
			l.push.Store(false)
			return
		default:
			l.push.Store(false)
			select {
			case <-l.eng.stopped.Done():
			case <-time.After(l.o.Every):
			}
		}
	}
}

func (l *lease) hint() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// overdue cuts requests in flight when the lease ended too long ago. The caller
// has the turn.
func (l *lease) overdue() {
	if l.o.InflightGrace < 0 || l.epoch == "" {
		return
	}
	end := l.until.Load()
	if int64(time.Since(processStart)) > end.mono+int64(l.o.InflightGrace) {
		l.eng.CutAll()
	}
}

// leave tells the other processes that they need not wait for this one any
// more.
func (l *lease) leave(ctx context.Context) {
	_, _ = l.feed.Poll(ctx, storage.FeedQuery{Instance: l.o.Instance, Acked: l.acked, Epoch: l.epoch, After: l.position, Limit: 1})
}
