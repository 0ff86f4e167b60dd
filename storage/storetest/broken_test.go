package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

var errBroken = errors.New("broken on purpose")

// brokenStores has at least one store for each check, by what it does wrong.
var brokenStores = merged(brokenKeys, brokenBatches, brokenPages, brokenQueries, brokenFeeds, brokenLives, brokenUses)

func merged(tables ...map[string]brokenStore) map[string]brokenStore {
	all := map[string]brokenStore{}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

func plainly(m *memstore.Store) storage.Store { return m }

func restart(f func(s storage.Store) storage.Store) func(h *Harness) {
	return func(h *Harness) { h.Reopen = func(_ testing.TB, s storage.Store) storage.Store { return f(s) } }
}

// reviver gives revoked and purged keys back.
func reviver(s storage.Store) storage.Store {
	return &wrap{Store: s, get: func(ctx context.Context, id string) (storage.Record, error) {
		r, err := s.Get(ctx, id)
		if errors.Is(err, apikey.NotFound) {
			return plain(id), nil
		}
		r.Key.RevokedAt = time.Time{}
		return r, err
	}}
}

// reading changes what Get returns.
func reading(edit func(k *apikey.Key)) func(*memstore.Store) storage.Store {
	return only(func(m *memstore.Store, w *wrap) {
		w.get = func(ctx context.Context, id string) (storage.Record, error) {
			r, err := m.Get(ctx, id)
			edit(&r.Key)
			return r, err
		}
	})
}

// upsert makes changes for which when holds from whatever revision is current.
func upsert(when func(c storage.Change) bool) func(*memstore.Store) storage.Store {
	return only(func(m *memstore.Store, w *wrap) {
		w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			told := c.Expect
			for {
				if old, err := m.Get(ctx, c.Record.Key.ID); err == nil && when(c) {
					c.Expect = old.Key.Revision
				}
				if _, err := m.Apply(ctx, c); !errors.Is(err, apikey.Conflict) || c.Expect == told {
					return c.Expect + 1, err
				}
			}
		}
	})
}

// trail leaves audit entries out.
func trail(keep func(e apikey.AuditEntry) bool) func(*memstore.Store) storage.Store {
	return only(func(m *memstore.Store, w *wrap) {
		w.audit = func(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
			all, err := m.Audit(ctx, q)
			return slices.DeleteFunc(all, func(e apikey.AuditEntry) bool { return !keep(e) }), err
		}
	})
}

func exact(filter, s string) bool { return filter == "" || filter == s }

// filtered lists with another idea of the filters.
func filtered(m *memstore.Store, match func(q storage.Query, k *apikey.Key) bool) func(context.Context, storage.Query) (storage.Listing, error) {
	return func(ctx context.Context, q storage.Query) (storage.Listing, error) {
		all, err := m.List(ctx, storage.Query{Order: q.Order, After: q.After, Limit: 1000})
		return page(q, slices.DeleteFunc(all.Records, func(r storage.Record) bool { return !match(q, &r.Key) })), err
	}
}

// sorted lists with another idea of the order.
func sorted(m *memstore.Store, order func(a, b storage.Position) int) func(context.Context, storage.Query) (storage.Listing, error) {
	return func(ctx context.Context, q storage.Query) (storage.Listing, error) {
		after := q.After
		q.Order, q.After = storage.NewestFirst, storage.Position{}
		limit := q.PageLimit()
		q.Limit = 1000
		l, err := m.List(ctx, q)
		all := l.Records
		slices.SortFunc(all, func(a, b storage.Record) int { return order(storage.PositionOf(&a.Key), storage.PositionOf(&b.Key)) })
		all = slices.DeleteFunc(all, func(r storage.Record) bool {
			return after.ID != "" && order(storage.PositionOf(&r.Key), after) <= 0
		})
		q.Limit = limit
		return page(q, all), err
	}
}

// page cuts a page from all that comes after the cursor.
func page(q storage.Query, all []storage.Record) storage.Listing {
	if n := q.PageLimit(); len(all) > n {
		return storage.Listing{Records: all[:n], Next: storage.PositionOf(&all[n-1].Key)}
	}
	return storage.Listing{Records: all}
}

func compare(results ...int) int {
	for _, c := range results {
		if c != 0 {
			return c
		}
	}
	return 0
}
