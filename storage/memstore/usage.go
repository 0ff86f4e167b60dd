package memstore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// usage is what has been counted for one key.
type usage struct {
	hours   map[hour]apikey.Counts
	secrets map[uint32]apikey.UsageSecret
	scopes  map[string]time.Time // the newest hour of each
}

type hour struct {
	unix   int64 // start, in seconds
	secret uint32
}

// AddUsage implements [storage.Store].
func (s *Store) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	for _, d := range batch {
		if _, ok := s.records[d.KeyID]; !ok {
			continue // usage never recreates a key
		}
		u := s.usage[d.KeyID]
		if u == nil {
			u = &usage{map[hour]apikey.Counts{}, map[uint32]apikey.UsageSecret{}, map[string]time.Time{}}
			s.usage[d.KeyID] = u
		}
		u.add(d)
	}
	return nil
}

func (u *usage) add(d storage.UsageDelta) {
	h := hour{d.Hour.Truncate(time.Hour).Unix(), d.Secret}
	if _, ok := u.hours[h]; !ok { // once an hour is often enough to clean up
		oldest := h.unix - int64(storage.UsageRetention/time.Second)
		maps.DeleteFunc(u.hours, func(o hour, _ apikey.Counts) bool { return o.unix < oldest })
	}
	counts := u.hours[h]
	counts.Add(d.Counts)
	u.hours[h] = counts

	total := u.secrets[d.Secret]
	total.Secret = d.Secret
	total.Counts.Add(d.Counts)
	last := d.Last
	if last.At = storage.NormalizeTime(last.At); last.Replaces(total.Last) {
		total.Last = last
	}
	u.secrets[d.Secret] = total

	for _, scope := range d.Scopes {
		if start := time.Unix(h.unix, 0).UTC(); start.After(u.scopes[scope]) {
			u.scopes[scope] = start
		}
	}
}

// Usage implements [storage.Store].
func (s *Store) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return apikey.Usage{}, err
	}
	out := apikey.Usage{ScopesSince: s.began}
	u := s.usage[id]
	if u == nil {
		return out, nil
	}
	out.Hours = u.since(since)
	for _, number := range slices.Sorted(maps.Keys(u.secrets)) {
		out.Secrets = append(out.Secrets, u.secrets[number])
	}
	for _, scope := range slices.Sorted(maps.Keys(u.scopes)) {
		out.Scopes = append(out.Scopes, apikey.ScopeUse{Scope: scope, Hour: u.scopes[scope]})
	}
	return out, nil
}

// since returns the hours that start at t or later, oldest first.
func (u *usage) since(t time.Time) []apikey.UsageHour {
	var hours []apikey.UsageHour
	for h, counts := range u.hours {
		if start := time.Unix(h.unix, 0).UTC(); !start.Before(t) {
			hours = append(hours, apikey.UsageHour{Hour: start, Secret: h.secret, Counts: counts})
		}
	}
	slices.SortFunc(hours, func(a, b apikey.UsageHour) int {
		return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.Secret, b.Secret))
	})
	return hours
}

// last returns the newest use of any secret; u may be nil.
func (u *usage) last() apikey.LastUse {
	if u == nil {
		return apikey.LastUse{}
	}
	return apikey.Usage{Secrets: slices.Collect(maps.Values(u.secrets))}.Last()
}

// Activity implements [storage.Store].
func (s *Store) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if err := storage.CheckActivity(ids); err != nil {
		return nil, err
	}
	all := make([]apikey.Activity, len(ids))
	for i, id := range ids {
		a := &all[i]
		a.ID = id
		if u := s.usage[id]; u != nil {
			for _, h := range u.since(storage.Day(since)) {
				storage.AddHour(a, h.Hour, h.Counts)
			}
			a.Last = u.last()
		}
	}
	return all, nil
}
