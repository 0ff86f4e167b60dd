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

// usage is what was counted for one key.
type usage struct {
	hours   map[hour]apikey.Counts
	secrets map[uint32]apikey.UsageSecret
}

type hour struct {
	unix   int64 // start, in seconds
	secret uint32
}

// AddUsage implements [apikey.Store].
func (s *Store) AddUsage(ctx context.Context, batch []apikey.UsageDelta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	for _, d := range batch {
		if _, ok := s.records[d.KeyID]; !ok {
			continue // usage never brings a key back
		}
		u := s.usage[d.KeyID]
		if u == nil {
			u = &usage{map[hour]apikey.Counts{}, map[uint32]apikey.UsageSecret{}}
			s.usage[d.KeyID] = u
		}
		u.add(d)
	}
	return nil
}

func (u *usage) add(d apikey.UsageDelta) {
	h := hour{d.Hour.Truncate(time.Hour).Unix(), d.Secret}
	if _, ok := u.hours[h]; !ok { // once an hour is often enough to clean up
		oldest := h.unix - int64(apikey.UsageRetention/time.Second)
		maps.DeleteFunc(u.hours, func(o hour, _ apikey.Counts) bool { return o.unix < oldest })
	}
	counts := u.hours[h]
	counts.Add(d.Counts)
	u.hours[h] = counts

	total := u.secrets[d.Secret]
	total.Secret = d.Secret
	total.Counts.Add(d.Counts)
	if at := storage.NormalizeTime(d.Last.At); at.After(total.Last.At) {
		total.Last = d.Last
		total.Last.At = at
	}
	u.secrets[d.Secret] = total
}

// Usage implements [apikey.Store].
func (s *Store) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return apikey.Usage{}, err
	}
	u := s.usage[id]
	if u == nil {
		return apikey.Usage{}, nil
	}
	var out apikey.Usage
	for h, counts := range u.hours {
		if start := time.Unix(h.unix, 0).UTC(); !start.Before(since) {
			out.Hours = append(out.Hours, apikey.UsageHour{Hour: start, Secret: h.secret, Counts: counts})
		}
	}
	slices.SortFunc(out.Hours, func(a, b apikey.UsageHour) int {
		return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.Secret, b.Secret))
	})
	for _, number := range slices.Sorted(maps.Keys(u.secrets)) {
		out.Secrets = append(out.Secrets, u.secrets[number])
	}
	return out, nil
}
