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

// Activity implements [storage.Store].
func (s *Store) Activity(ctx context.Context, ids []string, since time.Time) (_ []apikey.Activity, err error) {
	if err := s.life.enter(ctx); err != nil {
		return nil, err
	}
	defer s.life.leave(&err)
	if err := storage.CheckActivity(ids); err != nil {
		return nil, err
	}
	all := make([]apikey.Activity, len(ids))
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	// One iterator for all keys: making one takes longer than a seek.
	days := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tableDay}})
	defer days.Close()
	totals := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tableTotal}})
	defer totals.Close()
	for i, id := range ids {
		err := ctx.Err()
		if err != nil {
			return nil, err
		}
		all[i].ID = id
		from := storage.Day(since)
		if err = s.days(days, &all[i], from); err == nil {
			err = s.newest(totals, &all[i], from)
		}
		if err != nil {
			return nil, fmt.Errorf("badgerstore: activity: %w", err)
		}
	}
	return all, nil
}

// days reads the days of a key.
func (s *Store) days(it *badger.Iterator, a *apikey.Activity, since time.Time) error {
	prefix := dayPrefix(a.ID)
	return s.scanUsage(it, prefix, micros(slices.Clone(prefix), since), func(suffix, v []byte) error {
		counts, _, err := splitCounts(v)
		if err == nil {
			storage.AddHour(a, splitDay(suffix), counts)
		}
		return err
	})
}

// noDays is later than any day.
var noDays = time.Unix(1<<60, 0)

// newest reads the newest use of any secret of a key, and adds the newest day
// of each secret.
func (s *Store) newest(it *badger.Iterator, a *apikey.Activity, since time.Time) error {
	prefix := totalPrefix(a.ID)
	return s.scanUsage(it, prefix, prefix, func(_, v []byte) error {
		t, err := decodeTotal(v)
		if err != nil {
			return err
		}
		if t.Last.At.After(a.Last.At) {
			a.Last = t.Last
		}
		if !t.day.Before(since) && t.inDay != (apikey.Counts{}) {
			storage.AddHour(a, t.day, t.inDay)
		}
		return nil
	})
}
