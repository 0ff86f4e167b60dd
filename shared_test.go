package latchkey_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// sharedStore is a store that several services share as if they were processes
// of their own: a memstore behind links that can be cut, with a feed.
type sharedStore struct {
	mem *memstore.Store

	mu        sync.Mutex // one change, or one poll, at a time
	epoch     string
	made      []time.Time // the changes, by this store's clock
	changes   []storage.FeedChange
	instances map[string]instance
	woken     chan struct{} // closed at a change
}

type instance struct {
	acked uint64
	epoch string
	until time.Time
}

func newSharedStore() *sharedStore {
	return &sharedStore{mem: memstore.New(), epoch: "1", instances: map[string]instance{}, woken: make(chan struct{})}
}

// link is one process's way to the store. It hides that a memstore announces
// its changes.
type link struct {
	store  *sharedStore
	delay  time.Duration // of each call, one way
	slower atomic.Int64  // added to delay while the link is in use
	cut    atomic.Bool   // calls hang, as in a network that drops packets
	deaf   atomic.Bool   // nobody is woken
	noPush atomic.Bool
	reads  atomic.Int64
	polls  atomic.Int64
}

var errGone = errors.New("the store cannot be reached")

// pass waits for the way there or back.
func (l *link) pass(ctx context.Context) error {
	select {
	case <-time.After(l.delay + time.Duration(l.slower.Load())):
	case <-ctx.Done():
		return ctx.Err()
	}
	for l.cut.Load() {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return errGone
		}
	}
	return nil
}

func call[T any](ctx context.Context, l *link, f func() (T, error)) (T, error) {
	var none T
	if err := l.pass(ctx); err != nil {
		return none, err
	}
	v, err := f()
	if lost := l.pass(ctx); lost != nil {
		return none, lost
	}
	return v, err
}

func (l *link) Get(ctx context.Context, id string) (storage.Record, error) {
	l.reads.Add(1)
	return call(ctx, l, func() (storage.Record, error) { return l.store.mem.Get(ctx, id) })
}

func (l *link) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	return call(ctx, l, func() (uint64, error) {
		s := l.store
		s.mu.Lock()
		defer s.mu.Unlock()
		revision, err := s.mem.Apply(ctx, c)
		if err == nil {
			s.add(storage.Notice{ID: c.Record.Key.ID, Revision: revision, Deleted: c.Delete})
		}
		return revision, err
	})
}

// add adds to the feed; the store is locked.
func (s *sharedStore) add(n storage.Notice) {
	s.changes = append(s.changes, storage.FeedChange{Position: uint64(len(s.changes) + 1), Notice: n})
	s.made = append(s.made[:len(s.changes)-1], time.Now())
	close(s.woken)
	s.woken = make(chan struct{})
}

func (l *link) Announce(ctx context.Context, topic string) error {
	_, err := call(ctx, l, func() (struct{}, error) {
		l.store.mu.Lock()
		defer l.store.mu.Unlock()
		l.store.add(storage.Notice{ID: topic})
		return struct{}{}, nil
	})
	return err
}

func (l *link) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	return call(ctx, l, func() (storage.Listing, error) { return l.store.mem.List(ctx, q) })
}

func (l *link) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	return call(ctx, l, func() ([]apikey.AuditEntry, error) { return l.store.mem.Audit(ctx, q) })
}

func (l *link) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	_, err := call(ctx, l, func() (struct{}, error) { return struct{}{}, l.store.mem.AddUsage(ctx, batch) })
	return err
}

func (l *link) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	return call(ctx, l, func() (apikey.Usage, error) { return l.store.mem.Usage(ctx, id, since) })
}

func (l *link) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	return call(ctx, l, func() ([]apikey.Activity, error) { return l.store.mem.Activity(ctx, ids, since) })
}

func (l *link) Poll(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	l.polls.Add(1)
	return call(ctx, l, func() (storage.FeedPage, error) {
		s := l.store
		s.mu.Lock()
		defer s.mu.Unlock()
		now := time.Now()
		s.instances[q.Instance] = instance{q.Acked, q.Epoch, now.Add(q.Lease)}
		p := storage.FeedPage{Epoch: s.epoch, Head: uint64(len(s.changes)), Acked: uint64(len(s.changes))}
		for _, i := range s.instances {
			if i.until.After(now) {
				p.Alive++
				if i.epoch != s.epoch {
					i.acked = 0
				}
				p.Acked = min(p.Acked, i.acked)
			}
		}
		if q.After < p.Head {
			p.Changes = append(p.Changes, s.changes[q.After:min(p.Head, q.After+uint64(q.Limit))]...)
			for i := range p.Changes {
				p.Changes[i].Age = now.Sub(s.made[p.Changes[i].Position-1])
			}
		}
		return p, nil
	})
}

func (l *link) Await(ctx context.Context) error {
	if l.noPush.Load() {
		return storage.ErrNoPush
	}
	l.store.mu.Lock()
	woken := l.store.woken
	l.store.mu.Unlock()
	select {
	case <-woken:
	case <-ctx.Done():
		return ctx.Err()
	}
	for l.deaf.Load() {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// process opens a service over a link of its own.
func process(t testing.TB, s *sharedStore, o latchkey.LeaseOptions, change ...func(*link)) (*latchkey.Service, *link) {
	l := &link{store: s, delay: time.Millisecond}
	for _, f := range change {
		f(l)
	}
	return serviceOn(t, l, latchkey.Options{Lease: o}), l
}

func withoutPush(l *link) { l.noPush.Store(true) }
