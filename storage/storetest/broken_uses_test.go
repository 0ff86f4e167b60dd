package storetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// showing changes what Usage returns.
func showing(edit func(u *apikey.Usage)) func(*memstore.Store) storage.Store {
	return only(func(m *memstore.Store, w *wrap) {
		w.usage = func(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
			u, err := m.Usage(ctx, id, since)
			edit(&u)
			return u, err
		}
	})
}

// taking changes the batches that AddUsage gets.
func taking(edit func(d *storage.UsageDelta)) func(*memstore.Store) storage.Store {
	return only(func(m *memstore.Store, w *wrap) {
		w.add = func(ctx context.Context, batch []storage.UsageDelta) error {
			batch = slices.Clone(batch)
			for i := range batch {
				edit(&batch[i])
			}
			return m.AddUsage(ctx, batch)
		}
	})
}

const (
	toldUses   = "a last use tells what was asked and how it ended, once that is known"
	usedScopes = "a scope was used in the newest hour that was told, whatever the secret"
	sinceWhen  = "since when scopes are counted is told for every key, and stays"
)

// brokenUses has at least one store for each check of uses.
var brokenUses = map[string]brokenStore{
	"forgets the status": {fails: toldUses, wrap: taking(func(d *storage.UsageDelta) { d.Last.Status = 0 })},
	"forgets the route":  {fails: toldUses, wrap: taking(func(d *storage.UsageDelta) { d.Last.Route = "" })},
	"takes no status for a use that it has": {fails: toldUses, wrap: only(func(m *memstore.Store, w *wrap) {
		w.add = func(ctx context.Context, batch []storage.UsageDelta) error {
			batch = slices.Clone(batch)
			for i := range batch {
				d := &batch[i]
				if u, err := m.Usage(ctx, d.KeyID, time.Time{}); err == nil && u.Of(d.Secret).Last.At.Equal(d.Last.At) {
					d.Last = apikey.LastUse{}
				}
			}
			return m.AddUsage(ctx, batch)
		}
	})},
	"forgets the scopes": {fails: usedScopes, wrap: taking(func(d *storage.UsageDelta) { d.Scopes = nil })},
	"keeps scopes by the batch": {fails: usedScopes, wrap: only(func(m *memstore.Store, w *wrap) {
		w.add = func(ctx context.Context, batch []storage.UsageDelta) error {
			batch = slices.Clone(batch)
			for i := range batch[1:] {
				batch[i].Scopes = nil
			}
			return m.AddUsage(ctx, batch)
		}
	})},
	"orders scopes as people do": {fails: usedScopes, wrap: showing(func(u *apikey.Usage) {
		letters := func(s string) string {
			return string(slices.DeleteFunc([]byte(s), func(b byte) bool { return b < 'a' || b > 'z' }))
		}
		slices.SortFunc(u.Scopes, func(a, b apikey.ScopeUse) int { return strings.Compare(letters(a.Scope), letters(b.Scope)) })
	})},
	"lets scopes go back in time": {fails: usedScopes, wrap: only(func(m *memstore.Store, w *wrap) {
		told := map[string]map[string]time.Time{}
		w.add = func(ctx context.Context, batch []storage.UsageDelta) error {
			for _, d := range batch {
				for _, scope := range d.Scopes {
					if told[d.KeyID] == nil {
						told[d.KeyID] = map[string]time.Time{}
					}
					told[d.KeyID][scope] = d.Hour
				}
			}
			return m.AddUsage(ctx, batch)
		}
		w.usage = func(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
			u, err := m.Usage(ctx, id, since)
			for i := range u.Scopes {
				u.Scopes[i].Hour = told[id][u.Scopes[i].Scope]
			}
			return u, err
		}
	})},
	"tells of scopes in the period only": {fails: usedScopes, wrap: only(func(m *memstore.Store, w *wrap) {
		w.usage = func(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
			u, err := m.Usage(ctx, id, since)
			u.Scopes = slices.DeleteFunc(u.Scopes, func(s apikey.ScopeUse) bool { return s.Hour.Before(since) })
			return u, err
		}
	})},
	"counts scopes since when it is asked": {fails: sinceWhen, wrap: showing(func(u *apikey.Usage) { u.ScopesSince = time.Now().UTC() })},
	"counts no scopes":                     {fails: sinceWhen, wrap: showing(func(u *apikey.Usage) { u.ScopesSince = time.Time{} })},
	"leaves the scopes of a purged key": {fails: "a purge takes the usage of its key and of no other", wrap: only(func(m *memstore.Store, w *wrap) {
		kept := map[string][]apikey.ScopeUse{}
		w.usage = func(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
			u, err := m.Usage(ctx, id, since)
			if u.Scopes == nil {
				u.Scopes = kept[id]
			}
			return u, err
		}
		w.add = func(ctx context.Context, batch []storage.UsageDelta) error {
			err := m.AddUsage(ctx, batch)
			for _, d := range batch {
				if u, uerr := m.Usage(ctx, d.KeyID, time.Time{}); uerr == nil && u.Scopes != nil {
					kept[d.KeyID] = u.Scopes
				}
			}
			return err
		}
	})},
}
