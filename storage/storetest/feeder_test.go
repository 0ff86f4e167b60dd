package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// feedData is what several handles on one memory share: a [storage.Feed] in the
// fewest words.
type feedData struct {
	mem *memstore.Store

	mu        sync.Mutex
	changes   []storage.FeedChange
	instances map[string]beat
	changed   chan struct{} // closed by the next change
}

type beat struct {
	acked uint64
	until time.Time
}

// feeder is a handle. Its methods can be replaced one by one.
type feeder struct {
	*wrap
	data   *feedData
	closed chan struct{}

	poll     func(context.Context, storage.FeedQuery) (storage.FeedPage, error)
	await    func(context.Context) error
	announce func(context.Context, string) error
}

func newFeeder(data *feedData) *feeder {
	f := &feeder{wrap: &wrap{Store: data.mem}, data: data, closed: make(chan struct{})}
	f.wrap.apply = f.data.apply
	return f
}

func newFeedData(m *memstore.Store) *feedData {
	return &feedData{mem: m, instances: map[string]beat{}, changed: make(chan struct{})}
}

func (d *feedData) apply(ctx context.Context, c storage.Change) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rev, err := d.mem.Apply(ctx, c)
	if err == nil {
		d.add(storage.Notice{ID: c.Record.Key.ID, Revision: rev, Deleted: c.Delete})
	}
	return rev, err
}

// add is called with the lock held.
func (d *feedData) add(n storage.Notice) {
	d.changes = append(d.changes, storage.FeedChange{Position: uint64(len(d.changes)) + 1, Notice: n})
	close(d.changed)
	d.changed = make(chan struct{})
}

func (f *feeder) Announce(ctx context.Context, topic string) error {
	if f.announce != nil {
		return f.announce(ctx, topic)
	}
	if f.isClosed() {
		return apikey.Closed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f.data.mu.Lock()
	defer f.data.mu.Unlock()
	f.data.add(storage.Notice{ID: topic})
	return nil
}

func (d *feedData) epoch() string { return "epoch" }

func (f *feeder) Poll(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	if f.poll != nil {
		return f.poll(ctx, q)
	}
	return f.read(ctx, q)
}

func (f *feeder) read(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	if f.isClosed() {
		return storage.FeedPage{}, apikey.Closed
	}
	if err := ctx.Err(); err != nil {
		return storage.FeedPage{}, err
	}
	d := f.data
	d.mu.Lock()
	defer d.mu.Unlock()
	if q.Epoch != d.epoch() {
		q.Acked = 0
	}
	if q.Instance != "" {
		d.instances[q.Instance] = beat{q.Acked, time.Now().Add(q.Lease)}
	}
	p := storage.FeedPage{Epoch: d.epoch(), Head: uint64(len(d.changes)), Acked: uint64(len(d.changes))}
	from := d.changes[min(q.After, p.Head):]
	p.Changes = append(p.Changes, from[:min(len(from), storage.Query{Limit: q.Limit}.PageLimit())]...)
	for name, b := range d.instances {
		if name == q.Instance || time.Now().Before(b.until) {
			if p.Alive == 0 {
				p.Acked = b.acked
			}
			p.Acked, p.Alive = min(p.Acked, b.acked), p.Alive+1
		}
	}
	return p, nil
}

func (f *feeder) Await(ctx context.Context) error {
	if f.await != nil {
		return f.await(ctx)
	}
	if f.isClosed() {
		return apikey.Closed
	}
	f.data.mu.Lock()
	changed := f.data.changed
	f.data.mu.Unlock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-f.closed:
		return apikey.Closed
	}
}

func (f *feeder) Close() error {
	close(f.closed)
	return nil
}

func (f *feeder) isClosed() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

// shared is the harness of unbroken handles on one memory.
func shared() Harness {
	again := func(_ testing.TB, s storage.Store) storage.Store { return newFeeder(s.(*feeder).data) }
	return Harness{
		Open:     func(testing.TB) storage.Store { return newFeeder(newFeedData(memstore.New())) },
		Reopen:   again,
		Second:   again,
		Feeds:    true,
		Closes:   true,
		Notifies: true,
	}
}

// feeding breaks a handle on a feed, and all others on the same data.
func feeding(rule string, edit func(f *feeder)) brokenStore {
	broken := func(data *feedData) storage.Store {
		f := newFeeder(data)
		edit(f)
		return f
	}
	return brokenStore{
		fails: rule,
		wrap:  func(m *memstore.Store) storage.Store { return broken(newFeedData(m)) },
		harness: func(h *Harness) {
			again := func(_ testing.TB, s storage.Store) storage.Store { return broken(s.(*feeder).data) }
			h.Feeds, h.Reopen, h.Second = true, again, again
		},
	}
}

// telling changes what every poll of a handle says.
func telling(rule string, edit func(f *feeder, q storage.FeedQuery, p *storage.FeedPage)) brokenStore {
	return feeding(rule, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			p, err := f.read(ctx, q)
			if err == nil {
				edit(f, q, &p)
			}
			return p, err
		}
	})
}
