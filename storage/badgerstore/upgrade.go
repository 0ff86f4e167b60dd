package badgerstore

import (
	"fmt"
	"strconv"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/storage"
)

// upgrade gives the records of format 1, which has neither the tables by name
// nor those by term, their rows, and then signs the directory. Broken off at any
// point it is of format 1 still, and done again when it is opened the next time:
// the older program does not mind the rows, and rows that it lets grow stale in
// between show nothing.
func (s *Store) upgrade() error {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tableRecord}})
	defer it.Close()
	var rows []row
	room, records := s.room(), 0
	for it.Rewind(); it.Valid(); it.Next() {
		var of []row
		err := it.Item().Value(func(v []byte) error {
			r, err := storage.DecodeRecord(v)
			if err != nil {
				return nil // deleted, or damaged: it is listed nowhere
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
		for len(of) > 0 {
			if room.take(of[:1]) {
				rows, of = append(rows, of[0]), of[1:]
				continue
			}
			if err := s.writeSynced(rows); err != nil {
				return err
			}
			rows, room = nil, s.room()
		}
	}
	if err := s.writeSynced(rows); err != nil {
		return err
	}
	if records > 0 {
		s.log.Info("badgerstore: keys were indexed by name, for search", "keys", records)
	}
	return s.writeSynced([]row{{key: []byte{tableFormat}, value: strconv.AppendInt(nil, format, 10)}})
}

// writeSynced writes rows that fit one transaction, and syncs them: see the
// comment at the head of apply.go. Nobody else writes yet.
func (s *Store) writeSynced(rows []row) error {
	err := s.db.Update(func(txn *badger.Txn) error { return writeAll(txn, rows) })
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		return fmt.Errorf("badgerstore: open: index the keys: %w", err)
	}
	return nil
}
