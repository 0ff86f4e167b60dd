package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/storage"
)

// usageTap looks at the usage that a store is given.
type usageTap struct {
	storage.Store
	writes, running atomic.Int64
	ages            atomic.Bool // look at the age of counts

	mu         sync.Mutex
	keys       map[string]*usedKey
	left       int // keys until all is closed
	all        chan struct{}
	first, end time.Time
	base       time.Time
	age        time.Duration
}

func (t *usageTap) Unwrap() storage.Store { return t.Store }

func (t *usageTap) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	t.writes.Add(1)
	t.running.Add(1)
	defer t.running.Add(-1)
	begun := time.Now()
	err := t.Store.AddUsage(ctx, batch)
	if err == nil {
		t.added(batch, begun)
	}
	return err
}

func (t *usageTap) added(batch []storage.UsageDelta, begun time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, d := range batch {
		k := t.keys[d.KeyID]
		if k == nil {
			continue
		}
		if t.left > 0 && d.Counts.Total() == 3 {
			if t.first.IsZero() {
				t.first = begun
			}
			if t.left--; t.left == 0 {
				t.end = now
				close(t.all)
			}
		}
		if t.ages.Load() && k.written < len(k.times) {
			t.age = max(t.age, now.Sub(t.base)-k.times[k.written])
			k.written += int(d.Counts.Total())
		}
	}
}

// expect has all closed when n keys were written with three requests each.
func (t *usageTap) expect(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left, t.all, t.first = n, make(chan struct{}), time.Time{}
}

// started reports that the first of the keys is being written, or was.
func (t *usageTap) started() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.first.IsZero()
}

func (t *usageTap) took() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end.Sub(t.first).Round(time.Millisecond)
}

// begin looks at ages from now on.
func (t *usageTap) begin(base time.Time, keys []*usedKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		k.times, k.written = k.times[:0], 0
	}
	t.base, t.age = base, 0
	t.ages.Store(true)
}

// oldest returns the age of the oldest count, written or not, and looks no more.
func (t *usageTap) oldest() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ages.Store(false)
	now := time.Since(t.base)
	for _, k := range t.keys {
		if k.written < len(k.times) {
			t.age = max(t.age, now-k.times[k.written])
		}
	}
	return t.age.Round(time.Millisecond)
}
