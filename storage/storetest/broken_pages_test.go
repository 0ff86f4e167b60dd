package storetest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// brokenPages has at least one store for each check of pages: the list, the audit trail, usage;
// by what it does wrong.
var brokenPages = map[string]brokenStore{
	"orders IDs as people do": {
		fails: "the list is newest first, and by ID in descending byte order at one instant",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.list = sorted(m, func(a, b storage.Position) int {
				return compare(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(strings.ToLower(b.ID), strings.ToLower(a.ID)), strings.Compare(b.ID, a.ID))
			})
		}),
	},
	"repeats the cursor's record": {
		fails: "the list is newest first, and by ID in descending byte order at one instant",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.list = func(ctx context.Context, q storage.Query) (storage.Listing, error) {
				q.After.ID += "\x00"
				return m.List(ctx, q)
			}
		}),
	},
	"orders by the millisecond": {
		fails: "instants a microsecond apart, before 1970 and far away are in order",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.list = sorted(m, func(a, b storage.Position) int {
				return compare(b.CreatedAt.Truncate(time.Millisecond).Compare(a.CreatedAt.Truncate(time.Millisecond)), strings.Compare(b.ID, a.ID))
			})
		}),
	},
	"pages by offset": {fails: "keys that are created meanwhile never shift a page", wrap: only(func(m *memstore.Store, w *wrap) {
		var offsets sync.Map // of the record after the cursor
		w.list = func(ctx context.Context, q storage.Query) (storage.Listing, error) {
			all, err := m.List(ctx, storage.Query{Limit: 1000, Owner: q.Owner, Environment: q.Environment})
			offset, _ := offsets.Load(q.After.ID)
			n, _ := offset.(int)
			n = min(n, len(all.Records))
			l := page(q, all.Records[n:])
			offsets.Store(l.Next.ID, n+len(l.Records))
			return l, err
		}
	})},
	"looks the cursor up": {fails: "a cursor outlives the key that it points at", wrap: only(func(m *memstore.Store, w *wrap) {
		w.list = func(ctx context.Context, q storage.Query) (storage.Listing, error) {
			if _, err := m.Get(ctx, q.After.ID); q.After.ID != "" && err != nil {
				return storage.Listing{}, nil
			}
			return m.List(ctx, q)
		}
	})},
	"takes a prefix for the owner": {fails: "owner and environment select exactly", wrap: only(func(m *memstore.Store, w *wrap) {
		w.list = filtered(m, func(q storage.Query, k *apikey.Key) bool {
			return strings.HasPrefix(k.Owner, q.Owner) && exact(q.Environment, k.Environment)
		})
	})},
	"has small pages": {fails: "a page has at most the limit: 100 by default, 1000 at most", wrap: only(func(m *memstore.Store, w *wrap) {
		w.list = func(ctx context.Context, q storage.Query) (storage.Listing, error) {
			q.Limit = min(q.PageLimit(), 500)
			return m.List(ctx, q)
		}
	})},

	"forgets to audit updates": {
		fails: "each change has one audit entry, a refused change none",
		wrap:  trail(func(e apikey.AuditEntry) bool { return e.Action != "update" }),
	},
	"audits what it refused": {
		fails: "each change has one audit entry, a refused change none",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				rev, err := m.Apply(ctx, c)
				if old, gerr := m.Get(ctx, c.Record.Key.ID); err != nil && gerr == nil {
					retry := change(old, c.Entry.Action)
					_, _ = m.Apply(ctx, retry)
				}
				return rev, err
			}
		}),
	},
	"forgets the address": {
		fails: "an audit entry comes back as it was written, with the store's Seq",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				c.Entry.From = ""
				return m.Apply(ctx, c)
			}
		}),
	},
	"takes Before for inclusive": {
		fails: "the audit trail is filtered and paged exactly, newest first",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.audit = func(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
				page, err := m.Audit(ctx, q)
				if q.Before == 1 && q.KeyID == "" && q.Owner == "" {
					q.Before = 2 // the very last entry once more
					return m.Audit(ctx, q)
				}
				return page, err
			}
		}),
	},
	"starts Seq anew": {
		fails: "Seq goes on rising after a restart", wrap: plainly,
		harness: restart(func(s storage.Store) storage.Store {
			return &wrap{Store: s, audit: func(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
				trail, err := s.Audit(ctx, q)
				for i := range trail {
					trail[i].Seq = (trail[i].Seq-1)%4 + 1
				}
				return trail, err
			}}
		}),
	},

	"orders hours newest first": {fails: "usage adds up by hour and secret, oldest first", wrap: only(func(m *memstore.Store, w *wrap) {
		w.usage = func(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
			u, err := m.Usage(ctx, id, since)
			slices.Reverse(u.Hours)
			return u, err
		}
	})},
	"sums up the period only": {fails: "usage adds up by hour and secret, oldest first", wrap: only(func(m *memstore.Store, w *wrap) {
		w.usage = func(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
			u, err := m.Usage(ctx, id, since)
			for i := range u.Secrets {
				u.Secrets[i].Counts = apikey.Counts{}
				for _, h := range u.Hours {
					if h.Secret == u.Secrets[i].Secret {
						u.Secrets[i].Counts.Add(h.Counts)
					}
				}
			}
			return u, err
		}
	})},
	"counts a batch's last delta of a key only": {fails: "batches of usage commute", wrap: only(func(m *memstore.Store, w *wrap) {
		w.add = func(ctx context.Context, batch []storage.UsageDelta) error {
			if len(batch) == 0 {
				return nil
			}
			return m.AddUsage(ctx, batch[len(batch)-1:])
		}
	})},
	"loses a batch now and then": {
		fails: "concurrent batches of usage lose nothing",
		wrap: only(func(m *memstore.Store, w *wrap) {
			var n atomic.Int64
			w.add = func(ctx context.Context, batch []storage.UsageDelta) error {
				if n.Add(1)%50 == 0 {
					return nil
				}
				return m.AddUsage(ctx, batch)
			}
		}),
	},
	"keeps the last use that it was told": {
		fails: "the last use is the newest, not the one that was told last",
		wrap: only(func(m *memstore.Store, w *wrap) {
			var told sync.Map
			w.add = func(ctx context.Context, batch []storage.UsageDelta) error {
				for _, d := range batch {
					d.Last.At = storage.NormalizeTime(d.Last.At)
					told.Store(d.KeyID, d.Last)
				}
				return m.AddUsage(ctx, batch)
			}
			w.usage = func(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
				u, err := m.Usage(ctx, id, since)
				for i := range u.Secrets {
					last, _ := told.Load(id)
					u.Secrets[i].Last = last.(apikey.LastUse)
				}
				return u, err
			}
		}),
	},
	"keeps usage for a key to come": {
		fails: "usage of a key that does not exist is dropped, and brings none back",
		wrap: only(func(m *memstore.Store, w *wrap) {
			var early sync.Map
			w.add = func(ctx context.Context, batch []storage.UsageDelta) error {
				for _, d := range batch {
					if _, err := m.Get(ctx, d.KeyID); err != nil {
						early.Store(d.KeyID, d)
					}
				}
				return m.AddUsage(ctx, batch)
			}
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				rev, err := m.Apply(ctx, c)
				if d, ok := early.LoadAndDelete(c.Record.Key.ID); ok {
					_ = m.AddUsage(ctx, []storage.UsageDelta{d.(storage.UsageDelta)})
				}
				return rev, err
			}
		}),
	},
	"leaves the usage of a purged key": {
		fails: "a purge takes the usage of its key and of no other",
		wrap: only(func(m *memstore.Store, w *wrap) {
			var kept sync.Map
			w.add = func(ctx context.Context, batch []storage.UsageDelta) error {
				err := m.AddUsage(ctx, batch)
				for _, d := range batch {
					if u, uerr := m.Usage(ctx, d.KeyID, time.Time{}); uerr == nil && u.Secrets != nil {
						kept.Store(d.KeyID, u)
					}
				}
				return err
			}
			w.usage = func(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
				u, err := m.Usage(ctx, id, since)
				if old, ok := kept.Load(id); ok && u.Secrets == nil && err == nil {
					u = old.(apikey.Usage)
				}
				return u, err
			}
		}),
	},
	"forgets usage on restart": {
		fails: "usage survives a restart", wrap: plainly,
		harness: restart(func(s storage.Store) storage.Store {
			return &wrap{Store: s, usage: func(context.Context, string, time.Time) (apikey.Usage, error) { return apikey.Usage{}, nil }}
		}),
	},
}
