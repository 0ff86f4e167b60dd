package badgerstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Activity implements [apikey.Store].
func (s *Store) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	if err := s.life.enter(ctx); err != nil {
		return nil, err
	}
	defer s.life.leave()
	if err := storage.CheckActivity(ids); err != nil {
		return nil, err
	}
	all := make([]apikey.Activity, len(ids))
	err := s.db.View(func(txn *badger.Txn) (err error) {
		for i, id := range ids {
			if err := ctx.Err(); err != nil {
				return err
			}
			if all[i], err = s.activity(txn, id, since); err != nil {
				return fmt.Errorf("badgerstore: activity: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// activity sums up one key.
func (s *Store) activity(txn *badger.Txn, id string, since time.Time) (apikey.Activity, error) {
	a := apikey.Activity{ID: id}
	prefix := hourPrefix(id)
	err := s.scanUsage(txn, prefix, micros(slices.Clone(prefix), storage.Day(since)), func(suffix, v []byte) error {
		counts, _, err := splitCounts(v)
		if err == nil {
			hour, _ := splitHour(suffix)
			storage.AddHour(&a, hour, counts)
		}
		return err
	})
	if err != nil {
		return a, err
	}
	prefix = totalPrefix(id)
	err = s.scanUsage(txn, prefix, prefix, func(_, v []byte) error {
		t, err := decodeTotal(v)
		if err == nil && t.Last.At.After(a.Last.At) {
			a.Last = t.Last
		}
		return err
	})
	return a, err
}
