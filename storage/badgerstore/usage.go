package badgerstore

import (
	"cmp"
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

// countTTL is how long a row of an hour, or of a day, is kept after the last
// count was added to it.
const countTTL = storage.UsageRetention + 24*time.Hour

// AddUsage implements [storage.Store]. A large batch takes several transactions;
// after an error the later ones may be missing.
func (s *Store) AddUsage(ctx context.Context, batch []storage.UsageDelta) (err error) {
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

// addUsage adds a batch in one transaction, or in halves if it is too large: a
// transaction that is too large has written nothing. Changes of keys and other
// usage wait meanwhile, so that the rows do not change between reading and
// writing them.
func (s *Store) addUsage(batch []storage.UsageDelta) error {
	t := tally{s: s, txn: s.db.NewTransaction(false), sums: make(map[string]*total, len(batch)), rows: map[string]*apikey.Counts{}, scopes: map[string]time.Time{}}
	defer t.txn.Discard()
	for i := range batch {
		if err := t.add(&batch[i]); err != nil {
			return err
		}
	}
	rows := t.all()
	err := s.update(rowBytes(rows), func(txn *badger.Txn) error { return writeAll(txn, rows) })
	if errors.Is(err, badger.ErrTxnTooBig) && len(batch) > 1 {
		half := len(batch) / 2
		if err = s.addUsage(batch[:half]); err == nil {
			err = s.addUsage(batch[half:])
		}
	}
	return err
}

// tally adds a batch of usage to the existing rows. See counts.go for the rows.
type tally struct {
	s      *Store
	txn    *badger.Txn // read-only
	sums   map[string]*total
	rows   map[string]*apikey.Counts // of hours and days, by their keys
	scopes map[string]time.Time
}

func (t *tally) add(d *storage.UsageDelta) error {
	at := totalKey(d.KeyID, d.Secret)
	sum, err := t.total(d.KeyID, at)
	if sum == nil || err != nil {
		return err // usage never recreates a key
	}
	sum.Counts.Add(d.Counts)
	last := d.Last
	if last.At = storage.NormalizeTime(last.At); last.Replaces(sum.Last) {
		sum.Last = last
	}
	hour, day := d.Hour.Truncate(time.Hour), storage.Day(d.Hour)
	if hour.After(sum.hour) {
		if err := t.addTo(hourKey(d.KeyID, sum.hour, d.Secret), &sum.inHour); err != nil {
			return err
		}
		sum.hour, sum.inHour, sum.scopes = hour, apikey.Counts{}, nil
	}
	if day.After(sum.day) {
		if err := t.addTo(dayKey(d.KeyID, sum.day), &sum.inDay); err != nil {
			return err
		}
		sum.day, sum.inDay = day, apikey.Counts{}
	}
	if hour.Equal(sum.hour) {
		sum.inHour.Add(d.Counts)
	} else if err := t.addTo(hourKey(d.KeyID, hour, d.Secret), &d.Counts); err != nil {
		return err
	}
	if day.Equal(sum.day) {
		sum.inDay.Add(d.Counts)
	} else if err := t.addTo(dayKey(d.KeyID, day), &d.Counts); err != nil {
		return err
	}
	return t.addScopes(d, hour, sum)
}

// total returns the sums of a secret, or nil if there is no such key.
func (t *tally) total(id string, at []byte) (*total, error) {
	if sum := t.sums[string(at)]; sum != nil {
		return sum, nil
	}
	sum := new(total)
	err := read(t.txn, at, func(v []byte) (err error) { *sum, err = decodeTotal(v); return err })
	if err != nil { // a key without totals is rare; totals without a key do not exist, because a change removes both
		exists := false
		if len(id) <= maxString && id != "" {
			err := read(t.txn, recordKey(id), func(v []byte) error { exists = len(v) > 0; return nil })
			if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
				return nil, err
			}
		}
		if !exists {
			return nil, nil
		}
		if err := t.s.overlook(at, err); err != nil {
			return nil, err
		}
		*sum = total{} // a damaged row may have been partly decoded
	}
	t.sums[string(at)] = sum
	return sum, nil
}

// addTo adds to the row of an hour or of a day.
func (t *tally) addTo(key []byte, c *apikey.Counts) error {
	if *c == (apikey.Counts{}) {
		return nil
	}
	sum := t.rows[string(key)]
	if sum == nil {
		sum = new(apikey.Counts)
		if err := t.s.readUsage(t.txn, key, func(v []byte) (err error) { *sum, _, err = splitCounts(v); return err }); err != nil {
			return err
		}
		t.rows[string(key)] = sum
	}
	sum.Add(*c)
	return nil
}

// addScopes writes the hour of scopes that were not yet used in that hour or a
// later one: about one row per scope and hour.
func (t *tally) addScopes(d *storage.UsageDelta, hour time.Time, sum *total) error {
	for _, scope := range d.Scopes {
		if len(scope) > maxString { // there is no such scope
			continue
		}
		if hour.Equal(sum.hour) {
			if slices.Contains(sum.scopes, scope) {
				continue
			}
			if len(sum.scopes) < apikey.MaxScopes { // the row stays small; the others are looked up
				sum.scopes = append(sum.scopes, scope)
			}
		}
		key := scopeKey(d.KeyID, scope)
		newest, ok := t.scopes[string(key)]
		if !ok {
			if err := t.s.readUsage(t.txn, key, func(v []byte) (err error) { newest, err = decodeHour(v); return err }); err != nil {
				return err
			}
		}
		if hour.After(newest) {
			t.scopes[string(key)] = hour
		}
	}
	return nil
}

// all returns the rows to write.
func (t *tally) all() []row {
	rows := make([]row, 0, len(t.sums)+len(t.rows)+len(t.scopes))
	for key, sum := range t.sums {
		rows = append(rows, row{key: []byte(key), value: appendTotal(nil, sum)})
	}
	for key, sum := range t.rows {
		rows = append(rows, row{key: []byte(key), value: appendCounts(nil, *sum), ttl: countTTL})
	}
	for key, hour := range t.scopes {
		rows = append(rows, row{key: []byte(key), value: appendHour(nil, hour)})
	}
	return rows
}

// readUsage reads a row if there is one. A damaged row counts as zero and is
// logged: a number on a page is not worth refusing all others.
func (s *Store) readUsage(txn *badger.Txn, key []byte, decode func(v []byte) error) error {
	return s.overlook(key, read(txn, key, decode))
}

func (s *Store) overlook(key []byte, err error) error {
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
		return nil
	case errors.Is(err, storage.ErrCorrupt):
		s.log.Error("badgerstore: a usage row cannot be read and counts as zero", "row", fmt.Sprintf("%q", key), "error", err)
		return nil
	}
	return err
}

// Usage implements [storage.Store]. Hourly rows are kept for at least
// [storage.UsageRetention].
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
				u.Secrets = append(u.Secrets, t.UsageSecret)
				if !t.hour.Before(since) && t.inHour != (apikey.Counts{}) {
					u.Hours = addHour(u.Hours, apikey.UsageHour{Hour: t.hour, Secret: t.Secret, Counts: t.inHour})
				}
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

// addHour adds h to hours, which are sorted by hour and secret.
func addHour(hours []apikey.UsageHour, h apikey.UsageHour) []apikey.UsageHour {
	at, found := slices.BinarySearchFunc(hours, h, func(a, b apikey.UsageHour) int {
		return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.Secret, b.Secret))
	})
	if !found {
		return slices.Insert(hours, at, h)
	}
	hours[at].Counts.Add(h.Counts)
	return hours
}

// scanUsage calls f with the rows that begin with prefix, starting at from.
func (s *Store) scanUsage(it *badger.Iterator, prefix, from []byte, f func(suffix, v []byte) error) error {
	for it.Seek(from); it.ValidForPrefix(prefix); it.Next() {
		item := it.Item()
		err := item.Value(func(v []byte) error { return f(item.Key()[len(prefix):], v) })
		if errors.Is(err, storage.ErrCorrupt) {
			s.log.Error("badgerstore: a usage row cannot be read and is left out", "row", fmt.Sprintf("%q", item.Key()), "error", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// usageRows returns rows that delete all usage of a key.
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
