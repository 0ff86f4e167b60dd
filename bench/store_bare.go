package main

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/dgraph-io/badger/v4"
	badgeroptions "github.com/dgraph-io/badger/v4/options"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// mapKeeper is what is left of memstore without revisions, audit trail, usage,
// notices, and pages in an order that changes survive.
type mapKeeper struct {
	mu      sync.RWMutex
	records map[string]storage.Record
	owners  map[string][]string // ids, oldest first
}

func newMapKeeper() *mapKeeper {
	return &mapKeeper{records: map[string]storage.Record{}, owners: map[string][]string{}}
}

func (m *mapKeeper) get(id string) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r, ok := m.records[id]
	if !ok {
		return apikey.NotFound
	}
	runtime.KeepAlive(r.Clone()) // lest the compiler leaves the copy out
	return nil
}

func (m *mapKeeper) create(r storage.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[r.Key.ID] = r.Clone()
	m.owners[r.Key.Owner] = append(m.owners[r.Key.Owner], r.Key.ID)
	return nil
}

func (m *mapKeeper) revoke(r storage.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[r.Key.ID] = r.Clone()
	return nil
}

func (m *mapKeeper) page(owner string) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	ids := m.owners[owner]
	var page []storage.Record
	for i := len(ids) - 1; i >= 0 && len(page) < pageSize; i-- {
		page = append(page, m.records[ids[i]].Clone())
	}
	if len(page) != pageSize {
		return fmt.Errorf("a page of %d keys", len(page))
	}
	return nil
}

func (m *mapKeeper) close() error { return nil }

// badgerKeeper is Badger with the options of badgerstore, one row a record:
// its owner and id are the row's key, so that a page is one range.
type badgerKeeper struct{ db *badger.DB }

// bareBadger opens Badger as badgerstore does, which says why.
func bareBadger(dir string, sync bool) (*badger.DB, error) {
	return badger.Open(badger.DefaultOptions(dir).
		WithLogger(nil).
		WithMetricsEnabled(false).
		WithSyncWrites(sync).
		WithMemTableSize(4 << 20).
		WithNumMemtables(2).
		WithBaseTableSize(1 << 20).
		WithNumCompactors(2).
		WithValueThreshold(512 << 10).
		WithValueLogFileSize(1 << 20).
		WithCompression(badgeroptions.None).
		WithBlockCacheSize(0).
		WithChecksumVerificationMode(badgeroptions.OnBlockRead))
}

func newBadgerKeeper(dir string) (keeper, error) {
	db, err := bareBadger(dir, true)
	return &badgerKeeper{db}, err
}

// keepRow finds a record by its id: the digits of recordOf say whose it is.
func keepRow(id string) []byte { return []byte("r" + id[len(id)-1:] + id) }

func (b *badgerKeeper) get(id string) error {
	return b.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(keepRow(id))
		if err != nil {
			return err
		}
		_, err = item.ValueCopy(nil)
		return err
	})
}

func (b *badgerKeeper) create(r storage.Record) error {
	return b.db.Update(func(txn *badger.Txn) error {
		return txn.SetEntry(badger.NewEntry(keepRow(r.Key.ID), storage.AppendRecord(nil, r)))
	})
}

func (b *badgerKeeper) revoke(r storage.Record) error { return b.create(r) }

func (b *badgerKeeper) page(owner string) error {
	return b.db.View(func(txn *badger.Txn) error {
		prefix := []byte("r" + owner[len(owner)-1:])
		o := badger.DefaultIteratorOptions
		o.Prefix, o.Reverse = prefix, true
		it := txn.NewIterator(o)
		defer it.Close()
		n := 0
		for it.Seek(append(prefix[:len(prefix):len(prefix)], 0xff)); it.Valid() && n < pageSize; it.Next() {
			if _, err := it.Item().ValueCopy(nil); err != nil {
				return err
			}
			n++
		}
		if n != pageSize {
			return errors.New("a short page")
		}
		return nil
	})
}

func (b *badgerKeeper) close() error { return b.db.Close() }
