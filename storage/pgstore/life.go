package pgstore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// life admits calls until the store is closed, and lets Close wait for those
// still running.
type life struct {
	mu      sync.RWMutex
	closed  bool
	closing chan struct{} // closed when the store begins to close
	running sync.WaitGroup
	late    context.Context // ends when Close stops waiting
	end     context.CancelFunc
}

func (l *life) init() {
	l.closing = make(chan struct{})
	l.late, l.end = context.WithCancel(context.Background())
}

// enter admits a call, which must use the returned context and call leave when
// it is over.
func (l *life) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ctx, nil, apikey.Closed
	}
	if err := ctx.Err(); err != nil {
		return ctx, nil, err
	}
	l.running.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.late, func() { cancel(apikey.Closed) })
	return ctx, func() {
		stop()
		cancel(nil)
		l.running.Done()
	}, nil
}

// shut keeps new calls out and waits for running ones. Those still running
// after patience are cancelled.
func (l *life) shut(patience time.Duration) {
	l.mu.Lock()
	l.closed = true
	close(l.closing)
	l.mu.Unlock()
	defer time.AfterFunc(patience, l.end).Stop()
	l.running.Wait()
}

// clock schedules work that is done from time to time.
type clock struct{ last atomic.Int64 }

// due reports, to one caller only, that the period since the last time has
// passed.
func (c *clock) due(every time.Duration) bool {
	now, last := time.Now().UnixNano(), c.last.Load()
	return now-last >= int64(every) && c.last.CompareAndSwap(last, now)
}
