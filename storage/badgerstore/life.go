package badgerstore

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/wontopos/latchkey/apikey"
)

// life admits calls until the store is closed, and lets Close wait for those
// still running. The lock is held only to count: a call may make further calls
// (a subscriber does) while Close waits.
type life struct {
	mu      sync.RWMutex
	closed  bool
	running sync.WaitGroup
	reserve *reserve // knows whether the database is lost; set by open
}

func (l *life) enter(ctx context.Context) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return apikey.Closed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.reserve.lost(); err != nil {
		return err
	}
	l.running.Add(1)
	debug.SetPanicOnFault(true)
	return nil
}

// leave is deferred. If a mapped file could not be read, because the disk fails
// or the file was truncated, or the database was lost meanwhile, the call
// returns an error; otherwise the fault would end the process.
func (l *life) leave(err *error) {
	debug.SetPanicOnFault(false)
	l.running.Done()
	v := recover()
	if v != nil {
		if lost := l.reserve.awaitLost(); lost != nil {
			*err = lost
			return
		}
	}
	faulted(v, err)
}

// fault is deferred by code that must return normally when a mapped file cannot
// be read.
func fault(err *error) { faulted(recover(), err) }

func faulted(v any, err *error) {
	if v == nil {
		return
	}
	if _, ok := v.(interface{ Addr() uintptr }); !ok {
		panic(v)
	}
	*err = fmt.Errorf("badgerstore: a file of the database cannot be read, look at the disk or %s: %v", restore, v)
}

// end keeps new calls out and waits for those still running.
func (l *life) end() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.running.Wait()
}
