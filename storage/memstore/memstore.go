package memstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Store is a [storage.Store] and a [storage.Notifier] in memory. Make one with
// [New]; it may be used concurrently.
type Store struct {
	hub storage.Hub

	mu      sync.RWMutex
	closed  bool
	records map[string]storage.Record // by ID
	byTime  places                    // of all records, oldest first: a new key goes to the end
	byName  places                    // of all records
	trail   []apikey.AuditEntry       // oldest first; Seq is the index plus one
	usage   map[string]*usage         // by ID; only for keys that exist
	began   time.Time
}

var (
	_ storage.Store    = (*Store)(nil)
	_ storage.Notifier = (*Store)(nil)
)

// New returns an empty store.
func New() *Store {
	return &Store{
		records: map[string]storage.Record{}, usage: map[string]*usage{},
		byTime: places{order: storage.OldestFirst}, byName: places{order: storage.ByName},
		began: storage.NormalizeTime(time.Now()),
	}
}

// Close makes every later call return [apikey.Closed]. Closing twice does
// nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// Subscribe implements [storage.Notifier].
func (s *Store) Subscribe(f func(storage.Notice)) (cancel func()) { return s.hub.Subscribe(f) }

// Announce implements [storage.Announcer].
func (s *Store) Announce(ctx context.Context, topic string) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	s.hub.Publish(storage.Notice{ID: topic})
	return nil
}

func (s *Store) open(ctx context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.usable(ctx)
}

// usable is the first step of every method. The caller holds the lock.
func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return apikey.Closed
	}
	return ctx.Err()
}

// Get implements [storage.Store].
func (s *Store) Get(ctx context.Context, id string) (storage.Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return storage.Record{}, err
	}
	r, ok := s.records[id]
	if !ok {
		return storage.Record{}, apikey.NotFound
	}
	return r.Clone(), nil
}

// Apply implements [storage.Store]. Subscribers are called after the lock is
// released, so that they may use the store.
func (s *Store) Apply(ctx context.Context, c storage.Change) (revision uint64, err error) {
	notice, err := s.apply(ctx, c)
	if err != nil {
		return 0, err
	}
	s.hub.Publish(notice)
	return notice.Revision, nil
}

// apply is the transaction: check, then write everything.
func (s *Store) apply(ctx context.Context, c storage.Change) (storage.Notice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return storage.Notice{}, err
	}
	id := c.Record.Key.ID
	var current *storage.Record
	if r, ok := s.records[id]; ok {
		current = &r
	}
	if err := storage.CheckChange(current, c); err != nil {
		return storage.Notice{}, err
	}

	entry := storage.NormalizeEntry(c.Entry)
	entry.Seq = uint64(len(s.trail)) + 1
	s.trail = append(s.trail, entry)

	if current != nil {
		s.byTime.remove(&current.Key)
		s.byName.remove(&current.Key)
	}
	if c.Delete {
		delete(s.records, id)
		delete(s.usage, id)
		return storage.Notice{ID: id, Revision: c.Expect + 1, Deleted: true}, nil
	}
	record := storage.Normalize(c.Record)
	record.Key.Revision = c.Expect + 1
	s.records[id] = record
	s.byTime.add(&record.Key)
	s.byName.add(&record.Key)

	after := record.Clone()
	return storage.Notice{ID: id, Revision: record.Key.Revision, Record: &after}, nil
}

// Audit implements [storage.Store].
func (s *Store) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	var page []apikey.AuditEntry
	for _, e := range slices.Backward(s.trail) {
		if len(page) == q.PageLimit() {
			break
		}
		if (q.Before == 0 || e.Seq < q.Before) && (q.KeyID == "" || e.KeyID == q.KeyID) && (q.Owner == "" || e.Owner == q.Owner) {
			page = append(page, storage.NormalizeEntry(e))
		}
	}
	return page, nil
}
