package engine

import (
	"slices"
	"sync"
	"time"

	"github.com/wontopos/latchkey/internal/foreign"
)

// delays tells observers how long changes took to be in force here. A change
// waits in pending from the poll that returned it until the requests in flight
// with its key have been judged by it.
type delays struct {
	pending []time.Time // when they were made, on this machine's clock, or before; guarded by the lease's turn

	mu        sync.Mutex
	observers []*observer
}

type observer struct {
	f      func(time.Duration)
	callee foreign.Callee
}

// ObserveDelay calls f with the delay of each change that the feed reports from
// now on, until stop is called.
func (eng *Engine) ObserveDelay(f func(time.Duration)) (stop func()) {
	if eng.lease == nil {
		return func() {}
	}
	d, o := &eng.lease.delays, &observer{f, foreign.Callee{Name: "an observer of delays", Log: eng.o.Log}}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.observers = append(slices.Clip(d.observers), o)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.observers = slices.DeleteFunc(slices.Clone(d.observers), func(other *observer) bool { return other == o })
	}
}

// add notes a change that was age old when it was read, by a poll that was sent
// at the given time: it was made no later than that. Beyond a page of changes
// that could not be applied yet, the others are left out.
func (d *delays) add(sent time.Time, age time.Duration) {
	if age > 0 && len(d.pending) < pollLimit {
		d.pending = append(d.pending, sent.Add(-age))
	}
}

// forget drops the changes that were waiting, because what came after them is
// not known.
func (d *delays) forget() { d.pending = d.pending[:0] }

// tell reports the changes that were waiting: they are in force now.
func (d *delays) tell() {
	d.mu.Lock()
	all := d.observers
	d.mu.Unlock()
	now := time.Now()
	for _, made := range d.pending {
		for _, o := range all {
			_ = o.callee.Safely(func() error { o.f(now.Sub(made)); return nil })
		}
	}
	d.forget()
}
