package latchkey

import (
	"context"
	"sync"
	"time"

	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/storage"
)

// outbox holds the usage that was counted and not yet written. Usage as readers
// see it is what the store has plus what is owed to it, so its invariant is: **no
// key is read and written at the same time.** A reader finds a key's counts in
// the store or here, never in both and never in neither, and waits only for the
// keys that it asks for.
//
// The one exception is a write whose outcome is unknown: its counts stay owed and
// are written again. See [storage.Store.AddUsage].
type outbox struct {
	engine *engine.Engine
	most   int // bounds owing

	mu         sync.Mutex
	changed    chan struct{}                   // closed and replaced when a reader or a writer has finished
	owed       map[string][]storage.UsageDelta // by key
	queue      []string                        // keys to write, longest wait first; those in retries are skipped
	lanes      [writers]lane
	retries    []retry         // keys that the store did not take
	suspect    map[string]bool // the keys in retries
	again      bool            // it is the turn of retries
	written    uint64          // writes that the store took
	readers    map[string]int  // of each key that is read from the store now
	allReaders int             // of those who read any key
	owing      int             // deltas in owed and in lanes
	lost       uint64          // requests that were counted and are not owed, for want of room
	collected  time.Time       // when the counts were last fetched
}

// maxOwed bounds what is kept for a store that does not take usage.
const maxOwed = 1 << 20

func newOutbox(eng *engine.Engine) *outbox {
	return &outbox{
		engine: eng, most: maxOwed, changed: make(chan struct{}),
		owed: make(map[string][]storage.UsageDelta), readers: make(map[string]int), suspect: make(map[string]bool),
	}
}

// collect fetches what was counted; the caller holds mu.
func (o *outbox) collect() {
	o.collected = time.Now()
	withdrawn := o.engine.TakeWithdrawn()
	o.engine.Collect(func(d storage.UsageDelta) {
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
	// What the store has been given stays as it is, because a store only adds: such
	// a request is counted as admitted, and not as refused, so that it counts once.
	for i := range withdrawn {
		w := &withdrawn[i]
		for j := range o.owed[w.KeyID] {
			if w.From(&o.owed[w.KeyID][j]) {
				break
			}
		}
	}
}

// addTo adds to what is there of the same secret and hour, if anything is.
func addTo(of []storage.UsageDelta, d storage.UsageDelta) bool {
	for i := range of {
		if of[i].Secret == d.Secret && of[i].Hour.Equal(d.Hour) {
			of[i].Add(d)
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
	n := o.engine.Counted()
	o.mu.Lock()
	defer o.mu.Unlock()
	return n + len(o.owed)
}

// sets returns how many sets of keys are left to write. Each key in the queue
// counts as one.
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
		return faults.Unavailable("usage", errStuck)
	}
}

func (o *outbox) change() {
	close(o.changed)
	o.changed = make(chan struct{})
}
