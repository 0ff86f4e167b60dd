package badgerstore

import (
	"errors"

	"github.com/dgraph-io/badger/v4"
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
