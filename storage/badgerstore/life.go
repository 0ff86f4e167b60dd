package badgerstore

import (
	"context"
	"sync"

	"github.com/wontopos/latchkey/apikey"
)

// life lets calls in until the store is closed, and lets Close wait for those
// that are in. The lock is held only to count: a call may make further calls
// (a subscriber does) while Close waits.
type life struct {
	mu      sync.RWMutex
	closed  bool
	running sync.WaitGroup
}

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
	l.mu.Unlock()
	l.running.Wait()
}
