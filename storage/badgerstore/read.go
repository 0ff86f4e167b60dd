package badgerstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// load reads one record into r. A deleted key has an empty row. After an error
// r is zero.
func load(txn *badger.Txn, id string, r *storage.Record) error {
	*r = storage.Record{}
	if id == "" || len(id) > maxString {
		return apikey.NotFound
	}
	err := read(txn, recordKey(id), func(v []byte) (err error) {
		if len(v) == 0 {
			return apikey.NotFound
		}
		*r, err = storage.DecodeRecord(v)
		return err
	})
	if err == nil && r.Key.ID != id {
		*r, err = storage.Record{}, fmt.Errorf("%w: the record is another key's", storage.ErrCorrupt)
	}
	switch {
	case errors.Is(err, badger.ErrKeyNotFound), errors.Is(err, apikey.NotFound):
		return apikey.NotFound
	case err != nil:
		return fmt.Errorf("key %q: %w", id, err)
	}
	return nil
}

// read calls f with the value of a row; f must not keep it.
func read(txn *badger.Txn, key []byte, f func(v []byte) error) error {
	item, err := txn.Get(key)
	if err != nil {
		return err
	}
	return item.Value(f)
}

// Get implements [storage.Store]. A damaged record is [storage.ErrCorrupt].
func (s *Store) Get(ctx context.Context, id string) (r storage.Record, err error) {
	if err := s.life.enter(ctx); err != nil {
		return storage.Record{}, err
	}
	defer s.life.leave(&err)
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	err = load(txn, id, &r)
	if err != nil && !errors.Is(err, apikey.NotFound) {
		err = fmt.Errorf("badgerstore: get: %w", err)
	}
	return r, err
}

// Audit implements [storage.Store]. Damaged entries are left out and logged.
func (s *Store) Audit(ctx context.Context, q apikey.AuditQuery) (_ []apikey.AuditEntry, err error) {
	if err := s.life.enter(ctx); err != nil {
		return nil, err
	}
	defer s.life.leave(&err)
	var before []byte
	if q.Before > 0 {
		before = withSeq(nil, q.Before)
	}
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	var page []apikey.AuditEntry
	scanBack(txn, auditPrefix(q), before, func(suffix []byte) bool {
		seq := binary.BigEndian.Uint64(suffix)
		var e apikey.AuditEntry
		err := read(txn, auditKey(seq), func(v []byte) (err error) {
			e, err = storage.DecodeEntry(v)
			return err
		})
		switch {
		case err != nil:
			s.log.ErrorContext(ctx, "badgerstore: audit leaves out an entry that cannot be read", "seq", seq, "error", err)
		case (q.KeyID == "" || e.KeyID == q.KeyID) && (q.Owner == "" || e.Owner == q.Owner):
			page = append(page, e)
		}
		return len(page) < q.PageLimit() && ctx.Err() == nil
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return page, nil
}

// scan calls f with the keys that begin with prefix, in ascending or descending
// order, until it returns false; suffix is what follows the prefix. It begins
// strictly after from, or with the first key if from is nil. f must not keep
// the suffix.
func scan(txn *badger.Txn, prefix, from []byte, backward bool, f func(suffix []byte) bool) {
	it := txn.NewIterator(badger.IteratorOptions{Reverse: backward, Prefix: prefix})
	defer it.Close()
	seek := bytes.Join([][]byte{prefix, from}, nil)
	if from == nil && backward {
		seek = append(seek, last...)
	}
	for it.Seek(seek); it.ValidForPrefix(prefix); it.Next() {
		key := it.Item().Key()
		if from != nil && bytes.Equal(key, seek) {
			continue
		}
		if !f(key[len(prefix):]) {
			return
		}
	}
}

func scanBack(txn *badger.Txn, prefix, from []byte, f func(suffix []byte) bool) {
	scan(txn, prefix, from, true, f)
}

// loadSeq finds the end of the audit trail.
func (s *Store) loadSeq() error {
	return s.db.View(func(txn *badger.Txn) error {
		scanBack(txn, []byte{tableAudit}, nil, func(suffix []byte) bool {
			s.seq = binary.BigEndian.Uint64(suffix)
			return false
		})
		return nil
	})
}
