package badgerstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// countTTL is how long a row of an hour, or of a day, is kept after it was last
// counted to.
const countTTL = apikey.UsageRetention + 24*time.Hour

// AddUsage implements [apikey.Store]. A large batch takes several transactions;
// an error may leave the later ones out.
func (s *Store) AddUsage(ctx context.Context, batch []apikey.UsageDelta) (err error) {
	if err := s.life.enter(ctx); err != nil {
		return err
	}
	defer s.life.leave(&err)
	s.usage.Lock()
	defer s.usage.Unlock()
	s.flow.RLock()
	defer s.flow.RUnlock()
	for part := range slices.Chunk(batch, 1000) {
		if err := s.addUsage(part); err != nil {
			return fmt.Errorf("badgerstore: add usage: %w", err)
		}
	}
	return nil
}

// addUsage adds a batch in one transaction, or its halves when it is too large:
// a transaction that is too large has written nothing.
func (s *Store) addUsage(batch []apikey.UsageDelta) error {
	err := s.update(usageBytes(batch), func(txn *badger.Txn) error {
		for i := range batch {
			if err := s.addDelta(txn, &batch[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, badger.ErrTxnTooBig) && len(batch) > 1 {
		half := len(batch) / 2
		if err = s.addUsage(batch[:half]); err == nil {
			err = s.addUsage(batch[half:])
		}
	}
	return err
}

// usageBytes is what the rows of a batch take of a memtable, at most.
func usageBytes(batch []apikey.UsageDelta) int64 {
	n := int64(128)
	for i := range batch {
		d := &batch[i]
		n += 4*int64(len(d.KeyID)) + 3*256 + int64(len(d.Last.Network)+len(d.Last.UserAgent)+len(d.Last.Route))
		for _, scope := range d.Scopes {
			n += int64(len(d.KeyID)+len(scope)) + 128
		}
	}
	return n
}

func (s *Store) addDelta(txn *badger.Txn, d *apikey.UsageDelta) error {
	exists := false
	if len(d.KeyID) <= maxString && d.KeyID != "" {
		err := read(txn, recordKey(d.KeyID), func(v []byte) error { exists = len(v) > 0; return nil })
		if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
			return err
		}
	}
	if !exists {
		return nil // usage never brings a key back
	}

	total := totalKey(d.KeyID, d.Secret)
	var sum apikey.UsageSecret
	if err := s.readUsage(txn, total, func(v []byte) (err error) { sum, err = decodeTotal(v); return err }); err != nil {
		return err
	}

	sum.Counts.Add(d.Counts)
	last := d.Last
	if last.At = storage.NormalizeTime(last.At); last.Replaces(sum.Last) {
		sum.Last = last
	}
	hour := d.Hour.Truncate(time.Hour)
	for _, key := range [][]byte{hourKey(d.KeyID, hour, d.Secret), dayKey(d.KeyID, storage.Day(hour))} {
		if err := s.addCounts(txn, key, d.Counts); err != nil {
			return err
		}
	}
	if err := txn.Set(total, appendTotal(nil, sum)); err != nil {
		return err
	}
	return s.addScopes(txn, d)
}

// addCounts adds to the row of an hour or of a day.
func (s *Store) addCounts(txn *badger.Txn, key []byte, c apikey.Counts) error {
	var sum apikey.Counts
	if err := s.readUsage(txn, key, func(v []byte) (err error) { sum, _, err = splitCounts(v); return err }); err != nil {
		return err
	}
	sum.Add(c)
	return txn.SetEntry(badger.NewEntry(key, appendCounts(nil, sum)).WithTTL(countTTL))
}

// addScopes writes the hour of scopes that were not used in it, or a later one,
// before: about one row a scope and hour.
func (s *Store) addScopes(txn *badger.Txn, d *apikey.UsageDelta) error {
	start := d.Hour.Truncate(time.Hour)
	for _, scope := range d.Scopes {
		if len(scope) > maxString {
			continue // no such scope
		}
		key := scopeKey(d.KeyID, scope)
		var newest time.Time
		if err := s.readUsage(txn, key, func(v []byte) (err error) { newest, err = decodeHour(v); return err }); err != nil {
			return err
		}
		if !start.After(newest) {
			continue
		}
		if err := txn.Set(key, appendHour(nil, start)); err != nil {
			return err
		}
	}
	return nil
}

// readUsage reads a row if there is one. A damaged one counts as zero and is
// logged: a number on a page is not worth refusing all others.
func (s *Store) readUsage(txn *badger.Txn, key []byte, decode func(v []byte) error) error {
	err := read(txn, key, decode)
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
		return nil
	case errors.Is(err, storage.ErrCorrupt):
		s.log.Error("badgerstore: a usage row cannot be read and counts as zero", "row", fmt.Sprintf("%q", key), "err", err)
		return nil
	}
	return err
}

// Usage implements [apikey.Store]. Hourly rows are kept for at least
// [apikey.UsageRetention].
func (s *Store) Usage(ctx context.Context, id string, since time.Time) (_ apikey.Usage, err error) {
	if err := s.life.enter(ctx); err != nil {
		return apikey.Usage{}, err
	}
	defer s.life.leave(&err)
	u := apikey.Usage{ScopesSince: s.began}
	err = s.db.View(func(txn *badger.Txn) error {
		rows := txn.NewIterator(badger.IteratorOptions{})
		defer rows.Close()
		prefix := hourPrefix(id)
		err := s.scanUsage(rows, prefix, micros(slices.Clone(prefix), since), func(suffix, v []byte) error {
			counts, _, err := splitCounts(v)
			if err == nil {
				h := apikey.UsageHour{Counts: counts}
				h.Hour, h.Secret = splitHour(suffix)
				if !h.Hour.Before(since) {
					u.Hours = append(u.Hours, h)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		prefix = totalPrefix(id)
		err = s.scanUsage(rows, prefix, prefix, func(suffix, v []byte) error {
			t, err := decodeTotal(v)
			if err == nil {
				t.Secret = binary.BigEndian.Uint32(suffix)
				u.Secrets = append(u.Secrets, t)
			}
			return err
		})
		if err != nil {
			return err
		}
		prefix = scopePrefix(id)
		return s.scanUsage(rows, prefix, prefix, func(suffix, v []byte) error {
			start, err := decodeHour(v)
			if err == nil {
				u.Scopes = append(u.Scopes, apikey.ScopeUse{Scope: string(suffix), Hour: start})
			}
			return err
		})
	})
	if err != nil {
		return apikey.Usage{}, fmt.Errorf("badgerstore: usage: %w", err)
	}
	return u, nil
}

// scanUsage calls f with the rows that begin with prefix, from one on.
func (s *Store) scanUsage(it *badger.Iterator, prefix, from []byte, f func(suffix, v []byte) error) error {
	for it.Seek(from); it.ValidForPrefix(prefix); it.Next() {
		item := it.Item()
		err := item.Value(func(v []byte) error { return f(item.Key()[len(prefix):], v) })
		if errors.Is(err, storage.ErrCorrupt) {
			s.log.Error("badgerstore: a usage row cannot be read and is left out", "row", fmt.Sprintf("%q", item.Key()), "err", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// usageRows returns the removal of all usage of a key.
func usageRows(txn *badger.Txn, id string) []row {
	var rows []row
	for _, prefix := range [][]byte{hourPrefix(id), dayPrefix(id), totalPrefix(id), scopePrefix(id)} {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		for it.Seek(prefix); it.ValidForPrefix(prefix); it.Next() {
			rows = append(rows, row{key: it.Item().KeyCopy(nil), remove: true})
		}
		it.Close()
	}
	return rows
}
