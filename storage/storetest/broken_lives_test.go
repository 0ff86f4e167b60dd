package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// brokenLives has at least one store for each check of notices and the store's own life;
// by what it does wrong.
var brokenLives = map[string]brokenStore{
	"tells after Apply has returned": {
		fails: "each change is told once, when it can be read and before Apply returns",
		wrap: func(m *memstore.Store) storage.Store {
			var late func()
			w := &wrap{Store: m}
			w.get = func(ctx context.Context, id string) (storage.Record, error) { return m.Get(ctx, id) }
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				if late != nil {
					late()
				}
				return m.Apply(ctx, c)
			}
			return notifier{w, func(f func(storage.Notice)) func() {
				return m.Subscribe(func(n storage.Notice) { late = func() { f(n) } })
			}}
		},
	},
	"tells before it can be read": {
		fails: "each change is told once, when it can be read and before Apply returns",
		wrap: func(m *memstore.Store) storage.Store {
			var hub storage.Hub
			w := &wrap{Store: m}
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				hub.Publish(storage.Notice{ID: c.Record.Key.ID, Revision: c.Expect + 1, Deleted: c.Delete})
				return m.Apply(ctx, c)
			}
			return notifier{w, hub.Subscribe}
		},
	},
	"tells of the record before the change": {
		fails: "each change is told once, when it can be read and before Apply returns",
		wrap: func(m *memstore.Store) storage.Store {
			return notifier{&wrap{Store: m}, func(f func(storage.Notice)) func() {
				return m.Subscribe(func(n storage.Notice) {
					if n.Record != nil && n.Revision > 1 {
						old := n.Record.Clone()
						old.Key.RevokedAt = time.Time{}
						n.Record = &old
					}
					f(n)
				})
			}}
		},
	},
	"tells of the caller's own record": {
		fails: "a notice shares no memory with the one who made the change",
		wrap: func(m *memstore.Store) storage.Store {
			var hub storage.Hub
			w := &wrap{Store: m}
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				rev, err := m.Apply(ctx, c)
				if err == nil {
					c.Record.Key.Revision, c.Record.Key.CreatedAt = rev, storage.NormalizeTime(c.Record.Key.CreatedAt)
					hub.Publish(storage.Notice{ID: c.Record.Key.ID, Revision: rev, Record: &c.Record})
				}
				return rev, err
			}
			return notifier{w, hub.Subscribe}
		},
	},
	"tells of a refused change": {
		fails: "a refused change and mere use are not told",
		wrap: func(m *memstore.Store) storage.Store {
			var hub storage.Hub
			w := &wrap{Store: m}
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				rev, err := m.Apply(ctx, c)
				hub.Publish(storage.Notice{ID: c.Record.Key.ID, Revision: rev, Deleted: c.Delete})
				return rev, err
			}
			return notifier{w, hub.Subscribe}
		},
	},
	"announces where nobody listens": {
		fails: "an announcement is told once, before Announce returns",
		wrap: func(m *memstore.Store) storage.Store {
			var hub storage.Hub
			return notifier{&wrap{Store: m}, hub.Subscribe}
		},
	},
	"tells those who cancelled": {
		fails: "after cancel nothing is told, and cancel may be called again",
		wrap: func(m *memstore.Store) storage.Store {
			return notifier{&wrap{Store: m}, func(f func(storage.Notice)) func() { m.Subscribe(f); return func() {} }}
		},
	},
	"tells under its lock": {
		fails: "a subscriber may use the store, even to make a change",
		wrap: only(func(m *memstore.Store, w *wrap) {
			var mu sync.Mutex
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				if !mu.TryLock() {
					return 0, errBroken // where a store with a real lock would hang
				}
				defer mu.Unlock()
				return m.Apply(ctx, c)
			}
		}),
	},
	"tells every second change": {
		fails: "concurrent changes are told once each, each before its Apply returns",
		wrap: func(m *memstore.Store) storage.Store {
			return notifier{&wrap{Store: m}, func(f func(storage.Notice)) func() {
				return m.Subscribe(func(n storage.Notice) {
					if n.Revision%2 == 1 {
						f(n)
					}
				})
			}}
		},
	},

	"works on when cancelled": {
		fails: "a cancelled context is an error and changes nothing",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				rev, err := m.Apply(context.WithoutCancel(ctx), c)
				return rev, errors.Join(err, ctx.Err())
			}
		}),
	},
	"works on when closed": {
		fails: "use after Close is Closed",
		wrap:  func(m *memstore.Store) storage.Store { return closer{&wrap{Store: m}, func() error { return nil }} },
	},
	"fails oddly when closed": {
		fails: "Close may come while calls run: each succeeds or is Closed",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.get = func(ctx context.Context, id string) (storage.Record, error) {
				r, err := m.Get(ctx, id)
				if errors.Is(err, apikey.Closed) {
					err = errBroken
				}
				return r, err
			}
		}),
	},
	"loses usage": {fails: "everything at once", wrap: only(func(_ *memstore.Store, w *wrap) {
		w.add = func(context.Context, []storage.UsageDelta) error { return nil }
	})},
}
