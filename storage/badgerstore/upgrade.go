package badgerstore

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// upgrade brings a directory of an older format up to date, and then signs it.
// If it is interrupted, the directory still has the older format, and the
// upgrade is repeated at the next opening. An older program ignores the new
// rows; rows that it lets become stale in between return nothing, or are
// written again.
func (s *Store) upgrade(from int) error {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	w := &upgradeWriter{s: s, room: s.room()}
	if from < 2 {
		if err := s.upgradeNames(txn, w); err != nil {
			return err
		}
	}
	if from < 3 {
		if err := s.upgradeDays(txn, w); err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	return s.writeSynced([]row{{key: []byte{tableFormat}, value: strconv.AppendInt(nil, format, 10)}})
}

// upgradeNames writes the rows that the records of format 1 lack: it has
// neither the tables by name nor those by term.
func (s *Store) upgradeNames(txn *badger.Txn, w *upgradeWriter) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tableRecord}})
	defer it.Close()
	records := 0
	for it.Rewind(); it.Valid(); it.Next() {
		var of []row
		err := it.Item().Value(func(v []byte) error {
			r, err := storage.DecodeRecord(v)
			if err != nil {
				return nil // deleted, or damaged: it is not listed anywhere
			}
			records++
			for _, key := range indexKeys(&r.Key) {
				of = append(of, row{key: key})
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("badgerstore: open: index the keys: %w", err)
		}
		for _, r := range of {
			if err := w.write(r); err != nil {
				return err
			}
		}
	}
	if records > 0 {
		s.log.Info("badgerstore: keys were indexed by name, for search", "keys", records)
	}
	return nil
}

// upgradeDays adds up the hours of each key for the table by day, which format
// 3 introduced.
func (s *Store) upgradeDays(txn *badger.Txn, w *upgradeWriter) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tableHour}})
	defer it.Close()
	var at []byte // the row of the day being added up
	var sum apikey.Counts
	done := func() error {
		if at == nil {
			return nil
		}
		return w.write(row{key: at, value: appendCounts(nil, sum), ttl: countTTL})
	}
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		id, rest, err := splitString(item.Key()[1:])
		if err != nil || len(rest) != hourSuffix {
			continue // not one of this store's rows
		}
		hour, _ := splitHour([]byte(rest))
		day := dayKey(id, storage.Day(hour))
		if !bytes.Equal(day, at) {
			if err := done(); err != nil {
				return err
			}
			at, sum = day, apikey.Counts{}
		}
		err = item.Value(func(v []byte) error {
			c, _, err := splitCounts(v)
			if err == nil { // a damaged row counts as zero
				sum.Add(c)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("badgerstore: open: add up the days: %w", err)
		}
	}
	return done()
}

// upgradeWriter writes rows, as many at a time as fit into a transaction.
type upgradeWriter struct {
	s    *Store
	room room
	rows []row
}

func (w *upgradeWriter) write(r row) error {
	if one := []row{r}; !w.room.take(one) {
		if err := w.flush(); err != nil {
			return err
		}
		w.room.take(one)
	}
	w.rows = append(w.rows, r)
	return nil
}

func (w *upgradeWriter) flush() error {
	if len(w.rows) == 0 {
		return nil
	}
	err := w.s.writeSynced(w.rows)
	w.rows, w.room = nil, w.s.room()
	return err
}

// writeSynced writes rows that fit into one transaction, and syncs them: see
// the comment at the top of apply.go. Nobody else writes yet.
func (s *Store) writeSynced(rows []row) error {
	err := s.update(rowBytes(rows), func(txn *badger.Txn) error { return writeAll(txn, rows) })
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		return fmt.Errorf("badgerstore: open: bring the directory up to date: %w", err)
	}
	return nil
}
