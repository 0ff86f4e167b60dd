package latchkey

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Usage returns what has been counted for a key at and after since, including
// this process's counts up to now.
func (s *Service) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	if err := s.engine.Enter(); err != nil {
		return apikey.Usage{}, err
	}
	defer s.engine.Leave()
	if err := validTime("since", since); err != nil {
		return apikey.Usage{}, err
	}
	return s.usage(ctx, id, since)
}

func (s *Service) usage(ctx context.Context, id string, since time.Time) (u apikey.Usage, err error) {
	err = s.outbox.read(ctx, []string{id}, 0, func(owed func(string) []storage.UsageDelta) error {
		if u, err = s.store.Usage(ctx, id, since); err != nil {
			return storeError("usage", err)
		}
		for _, d := range owed(id) {
			addUsage(&u, d, since)
		}
		return nil
	})
	return u, err
}

// addUsage adds a delta that is not in the store yet; since is the time that u was
// requested for.
func addUsage(u *apikey.Usage, d storage.UsageDelta, since time.Time) {
	if d.Counts != (apikey.Counts{}) && !d.Hour.Before(since) {
		at, found := slices.BinarySearchFunc(u.Hours, d, func(h apikey.UsageHour, d storage.UsageDelta) int {
			return cmp.Or(h.Hour.Compare(d.Hour), cmp.Compare(h.Secret, d.Secret))
		})
		if !found {
			u.Hours = slices.Insert(u.Hours, at, apikey.UsageHour{Hour: d.Hour, Secret: d.Secret})
		}
		u.Hours[at].Counts.Add(d.Counts)
	}
	at, found := slices.BinarySearchFunc(u.Secrets, d.Secret, func(s apikey.UsageSecret, n uint32) int { return cmp.Compare(s.Secret, n) })
	if !found {
		u.Secrets = slices.Insert(u.Secrets, at, apikey.UsageSecret{Secret: d.Secret})
	}
	s := &u.Secrets[at]
	s.Counts.Add(d.Counts)
	if d.Last.Replaces(s.Last) {
		s.Last = d.Last
	}
	if u.ScopesSince.IsZero() {
		return // the store does not count scopes
	}
	for _, scope := range d.Scopes {
		at, found := slices.BinarySearchFunc(u.Scopes, scope, func(s apikey.ScopeUse, name string) int { return cmp.Compare(s.Scope, name) })
		if !found {
			u.Scopes = slices.Insert(u.Scopes, at, apikey.ScopeUse{Scope: scope})
		}
		if d.Hour.After(u.Scopes[at].Hour) {
			u.Scopes[at].Hour = d.Hour
		}
	}
}
