package pgstore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// life lets calls in until the store is closed, and lets Close wait for those
// that are in.
type life struct {
	mu      sync.RWMutex
	closed  bool
	closing chan struct{} // closed when it begins to end
	running sync.WaitGroup
	late    context.Context // ends when Close does not wait any longer
	end     context.CancelFunc
}

func (l *life) init() {
	l.closing = make(chan struct{})
	l.late, l.end = context.WithCancel(context.Background())
}

// enter lets a call in, which uses the context that is returned and calls leave
// when it is over.
func (l *life) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ctx, nil, apikey.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return ctx, nil, err
	}
	l.running.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.late, func() { cancel(apikey.ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		l.running.Done()
	}, nil
}

// shut keeps new calls out and waits for the others. Those that run on after
// patience are broken off.
func (l *life) shut(patience time.Duration) {
	l.mu.Lock()
	l.closed = true
	close(l.closing)
	l.mu.Unlock()
	defer time.AfterFunc(patience, l.end).Stop()
	l.running.Wait()
}

// clock tells when it is time again for something that is done now and then.
type clock struct{ last atomic.Int64 }

// due reports, to one caller only, that the period since the last time has passed.
func (c *clock) due(every time.Duration) bool {
	now, last := time.Now().UnixNano(), c.last.Load()
	return now-last >= int64(every) && c.last.CompareAndSwap(last, now)
}
