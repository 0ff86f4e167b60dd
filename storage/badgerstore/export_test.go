package badgerstore

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/storage"
)

// OpenTuned opens with tables so small that a test sees rotation and
// compaction.
func OpenTuned(dir string, opts Options) (*Store, error) {
	return open(dir, opts, func(o *badger.Options) {
		*o = o.WithMemTableSize(1 << 20).WithValueThreshold(64 << 10).
			WithBaseTableSize(64 << 10).WithBaseLevelSize(128 << 10).WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4)
	})
}

// Damage flips a bit of the row of a record.
func (s *Store) Damage(id string) error {
	return s.db.Update(func(txn *badger.Txn) error {
		item, err := txn.Get(recordKey(id))
		if err != nil {
			return err
		}
		v, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		v[len(v)/2] ^= 1
		return txn.Set(recordKey(id), v)
	})
}

// BeforeTable is what a compaction calls that took so long to fill a table.
func (s *Store) BeforeTable(took time.Duration) { s.beforeTable(took) }

// Tables says how large the levels are.
func (s *Store) Tables() (levels []string) {
	for _, l := range s.db.Levels() {
		if l.NumTables > 0 {
			levels = append(levels, fmt.Sprintf("level %d: %d tables, %d KiB", l.Level, l.NumTables, l.Size>>10))
		}
	}
	return levels
}

// Raw reads a record's row; nil when there is none.
func (s *Store) Raw(id string) (v []byte, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(recordKey(id))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		v, err = item.ValueCopy([]byte{})
		return err
	})
	return v, err
}

// Dir returns the store's directory.
func (s *Store) Dir() string { return s.db.Opts().Dir }

// LookAtLittle makes List use its bounds with few keys.
func (s *Store) LookAtLittle() { s.bounds = bounds{terms: 6, matches: 3, records: 4} }

// Fill writes records without their audit entries, many to a transaction.
func (s *Store) Fill(records []storage.Record) error {
	for part := range slices.Chunk(records, 100) {
		var rows []row
		for _, r := range part {
			rows = append(rows, row{key: recordKey(r.Key.ID), value: storage.AppendRecord(nil, r)})
			for _, key := range indexKeys(&r.Key) {
				rows = append(rows, row{key: key})
			}
		}
		if err := s.db.Update(func(txn *badger.Txn) error { return writeAll(txn, rows) }); err != nil {
			return err
		}
	}
	return nil
}

// HoldNoFiles lets others have the files that are held for Badger's next log.
func (s *Store) HoldNoFiles() {
	s.reserve.mu.Lock()
	defer s.reserve.mu.Unlock()
	s.reserve.letFilesGo()
	s.reserve.hold = 0
}
