package pgstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// copyPage is how many keys are copied and compared at once: their hours are in
// memory.
const copyPage = 100

// records calls f with all records of a store, oldest first, in pages.
func records(ctx context.Context, from storage.Store, f func(page []storage.Record) error) error {
	q := storage.Query{Order: storage.OldestFirst, Limit: copyPage}
	for {
		page, err := from.List(ctx, q)
		if err == nil {
			err = f(page.Records)
		}
		if err != nil || page.Next.IsZero() {
			return err
		}
		q.After = page.Next
	}
}

// entries calls f with the whole audit trail of a store, newest first, in pages.
func entries(ctx context.Context, from storage.Store, f func(page []apikey.AuditEntry) error) error {
	q := apikey.AuditQuery{Limit: 1000}
	for {
		page, err := from.Audit(ctx, q)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := f(page); err != nil {
			return err
		}
		if q.Before = page[len(page)-1].Seq; q.Before <= 1 { // Before: 0 would begin again
			return nil
		}
	}
}

// usageOf returns the usage of a key, as this package stores it.
func usageOf(ctx context.Context, from storage.Store, id string, since time.Time) (apikey.Usage, error) {
	u, err := from.Usage(ctx, id, since)
	for i := range u.Hours {
		u.Hours[i].Hour = storage.NormalizeTime(u.Hours[i].Hour)
	}
	for i := range u.Secrets {
		last := &u.Secrets[i].Last
		last.At = storage.NormalizeTime(last.At)
		last.Network, last.UserAgent, last.Route = text(last.Network), text(last.UserAgent), text(last.Route)
	}
	u.Scopes = slices.DeleteFunc(u.Scopes, func(use apikey.ScopeUse) bool { return !storable(use.Scope) || len(use.Scope) > maxString })
	for i := range u.Scopes {
		u.Scopes[i].Hour = storage.NormalizeTime(u.Scopes[i].Hour)
	}
	return u, err
}

func idsOf(page []storage.Record) []string {
	ids := make([]string, len(page))
	for i := range page {
		ids[i] = page[i].Key.ID
	}
	return ids
}

// compare returns an error unless this store has everything that the source has,
// and the same usage since a day.
func (s *Store) compare(ctx context.Context, from storage.Store, since time.Time) error {
	err := records(ctx, from, func(page []storage.Record) error { return s.comparePage(ctx, from, page, since) })
	if err != nil {
		return err
	}
	return entries(ctx, from, func(page []apikey.AuditEntry) error {
		own, err := s.Audit(ctx, apikey.AuditQuery{Before: page[0].Seq + 1, Limit: len(page)})
		if err != nil {
			return err
		}
		if !slices.EqualFunc(page, own, func(a, b apikey.AuditEntry) bool {
			return bytes.Equal(storage.AppendEntry(nil, storage.NormalizeEntry(a)), storage.AppendEntry(nil, b))
		}) {
			return fmt.Errorf("the audit trail up to entry %d differs", page[0].Seq)
		}
		return nil
	})
}

func (s *Store) comparePage(ctx context.Context, from storage.Store, page []storage.Record, since time.Time) error {
	if len(page) == 0 {
		return nil
	}
	ids := idsOf(page)
	own, errs := s.GetBatch(ctx, ids)
	was, err := from.Activity(ctx, ids, since)
	if err != nil {
		return err
	}
	is, err := s.Activity(ctx, ids, since)
	if err != nil {
		return err
	}
	for i, id := range ids {
		if errs[i] != nil {
			return fmt.Errorf("key %q: %w", id, errs[i])
		}
		if !bytes.Equal(storage.AppendRecord(nil, storage.Normalize(page[i])), storage.AppendRecord(nil, own[i])) {
			return fmt.Errorf("key %q differs", id)
		}
		a, err := usageOf(ctx, from, id, since)
		if err != nil {
			return err
		}
		b, err := usageOf(ctx, s, id, since)
		if err != nil {
			return err
		}
		if !slices.Equal(a.Hours, b.Hours) || !slices.Equal(a.Secrets, b.Secrets) || !slices.Equal(a.Scopes, b.Scopes) ||
			!slices.EqualFunc(was[i].Days, is[i].Days, func(a, b apikey.DayCounts) bool { return a.Day.Equal(b.Day) && a.Counts == b.Counts }) {
			return fmt.Errorf("the usage of key %q differs", id)
		}
	}
	return nil
}
