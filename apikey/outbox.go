package apikey

import (
	"context"
	"sync"
	"time"
)

// outbox holds the usage that was counted and that the store is yet to get. Usage
// as it is told is what the store has and what is owed to it, together, and so
// one thing must hold: no key is read and written at the same time. Whoever reads
// keys finds their counts in the store or here, never in both and never in
// neither, and waits for no more than the keys that are being written.
//
// The one exception is a write of which nobody knows whether it happened: what it
// was to add is owed on, and written again. See Store.AddUsage.
type outbox struct {
	meter *meter
	most  int // bounds owing

	mu         sync.Mutex
	changed    chan struct{}           // closed, and replaced, when a reader or a writer is done
	owed       map[string][]UsageDelta // by key
	queue      []string                // the keys of owed; those that have waited longest come first
	lanes      [writers]lane
	retries    []retry         // what the store did not take
	suspect    map[string]bool // the keys of retries
	again      bool            // the next write is one of retries, if there is a choice
	written    uint64          // writes that the store took
	readers    map[string]int  // of each key that is read from the store now
	allReaders int             // of those who read any key
	owing      int             // deltas in owed and in lanes
	lost       uint64          // requests that were counted and are not owed, for want of room
	collected  time.Time       // when the counts were last fetched
}

// maxOwed bounds what is kept for a store that does not take usage.
const maxOwed = 1 << 20

func newOutbox(m *meter) *outbox {
	return &outbox{
		meter: m, most: maxOwed, changed: make(chan struct{}),
		owed: make(map[string][]UsageDelta), readers: make(map[string]int), suspect: make(map[string]bool),
	}
}

// collect fetches what was counted; the caller holds mu.
func (o *outbox) collect() {
	o.collected = time.Now()
	o.meter.collect(func(d UsageDelta) {
		of := o.owed[d.KeyID]
		switch {
		case addTo(of, d):
			return
		case o.owing >= o.most: // the store has not taken usage for long
			o.lost += d.Counts.Total()
			return
		case of == nil:
			o.queue = append(o.queue, d.KeyID)
		}
		o.owed[d.KeyID] = append(of, d)
		o.owing++
	})
}

// addTo adds to what is there of the same secret and hour, if anything is.
func addTo(of []UsageDelta, d UsageDelta) bool {
	for i := range of {
		if of[i].Secret == d.Secret && of[i].Hour.Equal(d.Hour) {
			of[i].add(d)
			return true
		}
	}
	return false
}

// takeLost returns how many requests were counted for nothing since it was last
// called.
func (o *outbox) takeLost() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	lost := o.lost
	o.lost = 0
	return lost
}

// keys collects, and returns how many keys the store is to get the counts of.
func (o *outbox) keys() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.collect()
	n := len(o.owed)
	for i := range o.lanes {
		n += len(o.lanes[i].keys)
	}
	return n
}

// waiting is about how many keys the store is to get the counts of. It collects
// nothing.
func (o *outbox) waiting() int {
	o.meter.mu.Lock()
	n := len(o.meter.dirty)
	o.meter.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	return n + len(o.owed)
}

// sets is how many sets of keys are to be tried again, with each key that is yet
// to be tried as one.
func (o *outbox) sets() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.retries) + len(o.queue)
}

// wait lets mu go until something has changed. It returns an error when ctx ends
// first, or when it is late.
func (o *outbox) wait(ctx context.Context, late time.Time) error {
	changed := o.changed
	o.mu.Unlock()
	defer o.mu.Lock()
	timer := time.NewTimer(time.Until(late))
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return unavailable("usage", errStuck)
	}
}

func (o *outbox) change() {
	close(o.changed)
	o.changed = make(chan struct{})
}
