package storetest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// asking lists for another query than the one asked for.
func asking(edit func(q *storage.Query)) func(*memstore.Store) storage.Store {
	return only(func(m *memstore.Store, w *wrap) {
		w.list = func(ctx context.Context, q storage.Query) (storage.Listing, error) {
			edit(&q)
			return m.List(ctx, q)
		}
	})
}

// brokenQueries has at least one store for each check of queries and of activity, by what it does wrong.
var brokenQueries = map[string]brokenStore{
	"ignores the plan": {
		fails: "a query selects and orders what a model of it does, page by page", wrap: asking(func(q *storage.Query) { q.Plan = "" }),
	},
	"ignores the state": {
		fails: "a query selects and orders what a model of it does, page by page", wrap: asking(func(q *storage.Query) { q.State = "" }),
	},
	"ignores the use": {
		fails: "a query selects and orders what a model of it does, page by page", wrap: asking(func(q *storage.Query) { q.UnusedSince = time.Time{} }),
	},
	"ignores the expiry": {
		fails: "a query selects and orders what a model of it does, page by page", wrap: asking(func(q *storage.Query) { q.ExpiresBefore = time.Time{} }),
	},
	"ignores the rotation": {
		fails: "a query selects and orders what a model of it does, page by page", wrap: asking(func(q *storage.Query) { q.Rotating = false }),
	},
	"shows what was revoked": {
		fails: "a query selects and orders what a model of it does, page by page", wrap: asking(func(q *storage.Query) { q.OmitRevoked = false }),
	},
	"ignores the age of secrets": {
		fails: "a query selects and orders what a model of it does, page by page", wrap: asking(func(q *storage.Query) { q.SecretBefore = time.Time{} }),
	},
	"knows no ties of names": {
		fails: "a query selects and orders what a model of it does, page by page",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.list = func(ctx context.Context, q storage.Query) (storage.Listing, error) {
				l, err := m.List(ctx, q)
				if q.Order == storage.ByName && !l.Next.IsZero() {
					l.Next.ID = "\uffff" // the next name
				}
				return l, err
			}
		}),
	},
	"orders names by their bytes": {
		fails: "a query selects and orders what a model of it does, page by page",
		wrap: only(func(m *memstore.Store, w *wrap) {
			byName := sorted(m, func(a, b storage.Position) int {
				return compare(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
			})
			w.list = func(ctx context.Context, q storage.Query) (storage.Listing, error) {
				if q.Order == storage.ByName {
					return byName(ctx, q)
				}
				return m.List(ctx, q)
			}
		}),
	},
	"pages names by offset": {
		fails: "in no order do keys that are created meanwhile shift a page",
		wrap: only(func(m *memstore.Store, w *wrap) {
			seen := map[string]int{}
			w.list = func(ctx context.Context, q storage.Query) (storage.Listing, error) {
				if q.Order != storage.ByName {
					return m.List(ctx, q)
				}
				after := seen[q.After.ID]
				q.After = storage.Position{}
				limit := q.PageLimit()
				q.Limit = 1000
				all, err := m.List(ctx, q)
				q.Limit = limit
				l := page(q, all.Records[min(after, len(all.Records)):])
				seen[l.Next.ID] = after + len(l.Records)
				return l, err
			}
		}),
	},
	"searches amid words": {
		fails: "a search begins words, whatever the letter case",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.list = filtered(m, func(q storage.Query, k *apikey.Key) bool {
				return strings.Contains(storage.Fold(k.Name), storage.Fold(q.Search)) || strings.HasPrefix(storage.Fold(k.ID), storage.Fold(q.Search))
			})
		}),
	},
	"searches whole words": {
		fails: "a search begins words, whatever the letter case",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.list = filtered(m, func(q storage.Query, k *apikey.Key) bool {
				return slices.Contains(storage.Terms(k), storage.Fold(q.Search))
			})
		}),
	},
	"searches capital letters": {
		fails: "a search begins words, whatever the letter case",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.list = filtered(m, func(q storage.Query, k *apikey.Key) bool {
				return slices.ContainsFunc(storage.Terms(k), func(t string) bool { return strings.HasPrefix(t, q.Search) })
			})
		}),
	},
	"searches everybody's keys": {
		fails: "a search finds keys of its owner only, where they are now",
		wrap: asking(func(q *storage.Query) {
			if q.Search != "" {
				q.Owner = ""
			}
		}),
	},
	"finds names that are gone": {
		fails: "a search finds keys of its owner only, where they are now",
		wrap: only(func(m *memstore.Store, w *wrap) {
			first := map[string]apikey.Key{}
			w.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
				if c.Expect == 0 {
					first[c.Record.Key.ID] = c.Record.Key
				}
				return m.Apply(ctx, c)
			}
			w.list = filtered(m, func(q storage.Query, k *apikey.Key) bool {
				old := first[k.ID]
				f, was := storage.NewFilter(q, time.Now()), q
				if q.Search != "" {
					was.Owner, was.Environment = "", ""
				}
				g := storage.NewFilter(was, time.Now())
				return f.Match(k) || q.Search != "" && g.Match(&old) && exact(q.Owner, old.Owner)
			})
		}),
	},
	"skips what a short page left": {
		fails: "where filters leave most out, nothing is skipped and the list ends",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.list = func(ctx context.Context, q storage.Query) (storage.Listing, error) {
				plan := q.Plan
				q.Plan = ""
				l, err := m.List(ctx, q)
				l.Records = slices.DeleteFunc(l.Records, func(r storage.Record) bool { return plan != "" && r.Key.Plan != plan })
				if len(l.Records) == 0 {
					l.Next = storage.Position{} // takes an empty page for the last
				}
				return l, err
			}
		}),
	},
	"has short pages of all keys": {
		fails: "where filters leave most out, nothing is skipped and the list ends",
		wrap:  asking(func(q *storage.Query) { q.Limit = min(q.PageLimit(), 5) }),
	},
	"forgets names on restart": {
		fails: "what a query selects survives a restart", wrap: plainly,
		harness: restart(func(s storage.Store) storage.Store {
			return asking(func(q *storage.Query) {
				if q.Order == storage.ByName {
					q.Order = storage.NewestFirst
				}
			})(s.(*memstore.Store))
		}),
	},

	"counts days of local time": {
		fails: "activity sums up days and tells the last use, key by key, in the order asked",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.days = func(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
				all, err := m.Activity(ctx, ids, since)
				for i := range all {
					for j := range all[i].Days {
						all[i].Days[j].Day = all[i].Days[j].Day.Add(-time.Hour)
					}
				}
				return all, err
			}
		}),
	},
	"begins amid a day": {
		fails: "activity sums up days and tells the last use, key by key, in the order asked",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.days = func(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
				return m.Activity(ctx, ids, since.Add(24*time.Hour-1)) // the first whole day
			}
		}),
	},
	"tells of known keys only": {
		fails: "activity sums up days and tells the last use, key by key, in the order asked",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.days = func(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
				all, err := m.Activity(ctx, ids, since)
				return slices.DeleteFunc(all, func(a apikey.Activity) bool { return len(a.Days) == 0 }), err
			}
		}),
	},
	"answers for any number of keys": {
		fails: "activity of a thousand keys, and of no more",
		wrap: only(func(m *memstore.Store, w *wrap) {
			w.days = func(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
				return m.Activity(ctx, ids[:min(len(ids), storage.MaxActivity)], since)
			}
		}),
	},
}

// A store whose pages are short where filters leave much out is a good one.
func TestShortPagesPass(t *testing.T) {
	h := memory()
	h.Open = func(testing.TB) storage.Store {
		return only(func(m *memstore.Store, w *wrap) {
			w.list = func(ctx context.Context, q storage.Query) (storage.Listing, error) {
				f := storage.NewFilter(q, time.Now())
				if !f.Selective() {
					return m.List(ctx, q)
				}
				few := storage.Query{Owner: q.Owner, Environment: q.Environment, Order: q.Order, After: q.After, Limit: min(q.PageLimit(), 3)}
				l, err := m.List(ctx, few)
				l.Records = slices.DeleteFunc(l.Records, func(r storage.Record) bool {
					a, _ := m.Activity(ctx, []string{r.Key.ID}, time.Now())
					return !f.Match(&r.Key) || !f.Unused(a[0].Last.At)
				})
				return l, err
			}
		})(memstore.New())
	}
	for _, c := range slices.Concat(listChecks, queryChecks) {
		if c.skip(h) == "" {
			if err := c.against(t, h); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}
