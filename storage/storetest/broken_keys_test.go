package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// brokenKeys has at least one store for each check of keys: abilities, records, changes, revocation;
// by what it does wrong.
var brokenKeys = map[string]brokenStore{
	"denies an ability": {
		fails: "a store has the abilities that it declares, and no others",
		wrap:  func(m *memstore.Store) storage.Store { return m }, harness: func(h *Harness) { h.Notifies = false },
	},
	"claims an ability": {
		fails: "a store has the abilities that it declares, and no others",
		wrap:  func(m *memstore.Store) storage.Store { return struct{ storage.Store }{m} },
	},

	"cuts times to the second": {fails: "what can be represented comes back to the edges", wrap: reading(func(k *apikey.Key) { k.ExpiresAt = k.ExpiresAt.Truncate(time.Second) })},
	"takes what cannot be represented": {fails: "what cannot be represented is refused, and leaves no trace", wrap: only(func(m *memstore.Store, w *wrap) {
		w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			revision, err := m.Apply(ctx, c)
			if errors.Is(err, apikey.InvalidArgument) {
				return c.Expect + 1, nil
			}
			return revision, err
		}
	})},
	"takes a far year for another one": {fails: "instants of queries mean themselves, however far away", wrap: only(func(m *memstore.Store, w *wrap) {
		w.usage = func(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
			return m.Usage(ctx, id, time.Unix(0, since.UnixNano()))
		}
	})},

	"forgets the networks": {fails: "a record comes back as it was written", wrap: reading(func(k *apikey.Key) { k.Networks = nil })},
	"forgets the lock":     {fails: "a record comes back as it was written", wrap: reading(func(k *apikey.Key) { k.Locked = false })},
	"forgets the request": {fails: "a record comes back as it was written", wrap: only(func(m *memstore.Store, w *wrap) {
		w.get = func(ctx context.Context, id string) (storage.Record, error) {
			r, err := m.Get(ctx, id)
			r.Request = [32]byte{}
			return r, err
		}
	})},
	"forgets what a later version wrote": {fails: "a record comes back as it was written", wrap: only(func(m *memstore.Store, w *wrap) {
		w.get = func(ctx context.Context, id string) (storage.Record, error) {
			r, err := m.Get(ctx, id)
			r.Extensions = nil
			return r, err
		}
	})},
	"forgets the second digest": {fails: "a record comes back as it was written", wrap: only(func(m *memstore.Store, w *wrap) {
		w.get = func(ctx context.Context, id string) (storage.Record, error) {
			r, err := m.Get(ctx, id)
			r.Digests = r.Digests[:min(len(r.Digests), 1)]
			return r, err
		}
	})},
	"keeps metadata that is gone": {fails: "an update replaces every field", wrap: only(func(m *memstore.Store, w *wrap) {
		w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			if old, err := m.Get(ctx, c.Record.Key.ID); err == nil && c.Record.Key.Metadata == nil {
				c.Record.Key.Metadata = old.Key.Metadata
			}
			return m.Apply(ctx, c)
		}
	})},
	"returns local times": {
		fails: "times come back in UTC, cut to the microsecond, zero as zero",
		wrap:  reading(func(k *apikey.Key) { k.CreatedAt = k.CreatedAt.In(time.FixedZone("", 60)) }),
	},
	"rounds times": {
		fails: "times come back in UTC, cut to the microsecond, zero as zero",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				c.Record.Key.ExpiresAt = c.Record.Key.ExpiresAt.Round(time.Microsecond)
				return m.Apply(ctx, c)
			}
		}),
	},
	"hands out its own memory": {fails: "nothing is shared with the caller", wrap: only(func(m *memstore.Store, w *wrap) {
		var mine sync.Map
		w.get = func(ctx context.Context, id string) (storage.Record, error) {
			r, err := m.Get(ctx, id)
			if kept, ok := mine.LoadOrStore(id, r); ok && kept.(storage.Record).Key.Revision == r.Key.Revision {
				return kept.(storage.Record), err
			}
			mine.Store(id, r)
			return r, err
		}
	})},
	"keeps the caller's memory": {fails: "nothing is shared with the caller", wrap: only(func(m *memstore.Store, w *wrap) {
		var theirs sync.Map
		w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			rev, err := m.Apply(ctx, c)
			if err == nil {
				theirs.Store(c.Record.Key.ID, c.Record.Key.Metadata)
			}
			return rev, err
		}
		w.get = func(ctx context.Context, id string) (storage.Record, error) {
			r, err := m.Get(ctx, id)
			if meta, ok := theirs.Load(id); ok {
				r.Key.Metadata = meta.(map[string]string)
			}
			return r, err
		}
	})},
	"hands out its audit details": {fails: "nothing is shared with the caller", wrap: only(func(m *memstore.Store, w *wrap) {
		var mine sync.Map
		w.audit = func(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
			trail, err := m.Audit(ctx, q)
			for i := range trail {
				details, _ := mine.LoadOrStore(trail[i].Seq, trail[i].Details)
				trail[i].Details = details.(map[string]string)
			}
			return trail, err
		}
	})},
	"has a column of 60,000 bytes": {fails: "metadata may be empty or 64 KiB", wrap: only(func(m *memstore.Store, w *wrap) {
		w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			if len(c.Record.Key.Metadata["k"]) > 60_000 {
				return 0, errBroken
			}
			return m.Apply(ctx, c)
		}
	})},
	"takes the owner for a pattern": {
		fails: "strings are bytes: no key, owner or text is taken for another",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.list = filtered(m, func(q storage.Query, k *apikey.Key) bool {
				return (strings.HasSuffix(q.Owner, "%") && strings.HasPrefix(k.Owner, strings.TrimSuffix(q.Owner, "%")) || exact(q.Owner, k.Owner)) && exact(q.Environment, k.Environment)
			})
		}),
	},
	"trims IDs": {
		fails: "strings are bytes: no key, owner or text is taken for another",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.get = func(ctx context.Context, id string) (storage.Record, error) { return m.Get(ctx, strings.TrimSpace(id)) }
		}),
	},
	"fails a page for one record": {
		fails: "a damaged record is an error for its key alone",
		wrap: func(m *memstore.Store) storage.Store {
			return &wrap{Store: m}
		},
		harness: func(h *Harness) {
			h.Corrupt = func(_ testing.TB, s storage.Store, bad string) {
				w, m := s.(*wrap), s.(*wrap).Store
				w.get = func(ctx context.Context, id string) (storage.Record, error) {
					if id == bad {
						return storage.Record{}, errBroken
					}
					return m.Get(ctx, id)
				}
				w.list = func(context.Context, storage.Query) (storage.Listing, error) { return storage.Listing{}, errBroken }
			}
		},
	},

	"finds nobody": {fails: "a key that does not exist is NotFound", wrap: only(func(m *memstore.Store, w *wrap) {
		w.get = func(ctx context.Context, id string) (storage.Record, error) {
			r, err := m.Get(ctx, id)
			if errors.Is(err, apikey.NotFound) {
				err = nil
			}
			return r, err
		}
	})},
	"creates over a key": {fails: "a key is created once", wrap: upsert(func(c storage.Change) bool { return c.Expect == 0 })},
	"looks before it creates": {fails: "of many who create one key at once, one does", wrap: only(func(m *memstore.Store, w *wrap) {
		w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			if c.Expect > 0 || c.Delete {
				return m.Apply(ctx, c)
			}
			if _, err := m.Get(ctx, c.Record.Key.ID); err == nil {
				return 0, apikey.Conflict
			}
			time.Sleep(time.Millisecond) // between the look and the write
			for {
				rev, err := m.Apply(ctx, c)
				if !errors.Is(err, apikey.Conflict) {
					return min(rev, 1), err
				}
				c.Expect++
			}
		}
	})},
	"ignores Expect": {fails: "a change needs the current revision", wrap: upsert(func(c storage.Change) bool { return c.Expect > 0 })},
	"lags behind and ignores Expect": {
		fails: "of many writers one wins each revision, and no update is lost",
		wrap: func(m *memstore.Store) storage.Store {
			w := upsert(func(c storage.Change) bool { return c.Expect > 0 })(m).(*wrap)
			var older sync.Map
			w.get = func(ctx context.Context, id string) (storage.Record, error) {
				r, err := m.Get(ctx, id)
				if old, ok := older.Swap(id, r); ok {
					return old.(storage.Record).Clone(), err
				}
				return r, err
			}
			return w
		},
	},
	"takes the caller's revision": {
		fails: "the revision is the store's: Expect plus one, whatever the record says",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				_, err := m.Apply(ctx, c)
				return c.Record.Key.Revision + 1, err
			}
		}),
	},
	"mends what makes no sense": {
		fails: "a change that makes no sense is InvalidArgument and changes nothing",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				c.Entry.KeyID = c.Record.Key.ID
				return m.Apply(ctx, c)
			}
		}),
	},
	"loses all": {
		fails: "what was acknowledged survives a restart", wrap: plainly,
		harness: restart(func(storage.Store) storage.Store { return memstore.New() }),
	},

	"checks the revision before the revocation": {
		fails: "revoked stays revoked, whatever revision a change was made from",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				rev, err := m.Apply(ctx, c)
				if old, gerr := m.Get(ctx, c.Record.Key.ID); gerr == nil && err != nil && old.Key.Revision != c.Expect {
					err = apikey.Conflict
				}
				return rev, err
			}
		}),
	},
	"un-revokes": {
		fails: "revoked stays revoked, whatever revision a change was made from",
		wrap: only(func(m *memstore.Store, w *wrap) {
			var back sync.Map
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				rev, err := m.Apply(ctx, c)
				if errors.Is(err, apikey.InvalidState) && !c.Delete {
					back.Store(c.Record.Key.ID, c.Record.Clone())
					return c.Expect + 1, nil
				}
				return rev, err
			}
			w.get = func(ctx context.Context, id string) (storage.Record, error) {
				if r, ok := back.Load(id); ok {
					return r.(storage.Record).Clone(), nil
				}
				return m.Get(ctx, id)
			}
		}),
	},
	"lets the last writer say who revoked": {
		fails: "who revoked a key, when and why is never altered",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				rev, err := m.Apply(ctx, c)
				if errors.Is(err, apikey.InvalidState) && !c.Record.Key.RevokedAt.IsZero() {
					return c.Expect + 1, nil
				}
				return rev, err
			}
		}),
	},
	"takes an update for done": {
		fails: "no concurrent update brings a revoked key back",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				rev, err := m.Apply(ctx, c)
				if errors.Is(err, apikey.InvalidState) && !c.Delete {
					return c.Expect + 1, nil
				}
				return rev, err
			}
		}),
	},
	"revives a revoked key on restart": {
		fails: "revoked stays revoked through restarts and compaction", wrap: plainly, harness: restart(reviver),
	},
	"revives a revoked key on compaction": {
		fails: "revoked stays revoked through restarts and compaction",
		wrap:  func(m *memstore.Store) storage.Store { return &wrap{Store: m} },
		harness: func(h *Harness) {
			h.Compact = func(_ testing.TB, s storage.Store) { s.(*wrap).get = reviver(s.(*wrap).Store).(*wrap).get }
		},
	},
	"purges an active key": {
		fails: "only a revoked key is purged, from its current revision",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				if rev, err := m.Apply(ctx, c); !c.Delete || !errors.Is(err, apikey.InvalidState) {
					return rev, err
				}
				return c.Expect + 1, nil
			}
		}),
	},
	"revives a purged key on restart": {
		fails: "a purged key is gone for good, and its audit trail stays", wrap: plainly, harness: restart(reviver),
	},
	"purges the audit trail too": {
		fails: "a purged key is gone for good, and its audit trail stays",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.audit = func(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
				trail, err := m.Audit(ctx, q)
				if _, gone := m.Get(ctx, q.KeyID); q.KeyID != "" && errors.Is(gone, apikey.NotFound) {
					trail = nil
				}
				return trail, err
			}
		}),
	},
}
