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
}

func (l *life) init() { l.closing = make(chan struct{}) }

func (l *life) enter(ctx context.Context) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return apikey.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l.running.Add(1)
	return nil
}

func (l *life) leave() { l.running.Done() }

// end keeps new calls out and waits for the others.
func (l *life) end() {
	l.mu.Lock()
	l.closed = true
	close(l.closing)
	l.mu.Unlock()
	l.running.Wait()
}

// clock tells when it is time again for something that is done now and then.
type clock struct{ last atomic.Int64 }

// due reports, to one caller only, that the period since the last time has passed.
func (c *clock) due(every time.Duration) bool {
	now, last := time.Now().UnixNano(), c.last.Load()
	return now-last >= int64(every) && c.last.CompareAndSwap(last, now)
}
