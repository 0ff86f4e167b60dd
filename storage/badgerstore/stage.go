package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// row is one write of a transaction.
type row struct {
	key, value []byte
	remove     bool
	ttl        time.Duration // 0: no expiry
}

func writeAll(txn *badger.Txn, rows []row) error {
	for _, r := range rows {
		var err error
		if r.remove {
			err = txn.Delete(r.key)
		} else {
			e := badger.NewEntry(r.key, r.value)
			if r.ttl > 0 {
				e = e.WithTTL(r.ttl)
			}
			err = txn.SetEntry(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// room is what still fits into a transaction, with a margin for what Badger
// adds.
type room struct{ rows, bytes int64 }

func (s *Store) room() room {
	return room{s.db.MaxBatchCount() * 9 / 10, s.db.MaxBatchSize() * 9 / 10}
}

// take uses up the room, or leaves it unchanged if the rows do not fit.
func (r *room) take(rows []row) bool {
	left := room{r.rows - int64(len(rows)), r.bytes}
	for _, w := range rows {
		left.bytes -= int64(len(w.key)+len(w.value)) + 64
	}
	if left.rows < 0 || left.bytes < 0 {
		return false
	}
	*r = left
	return true
}

// stage checks a job against the transaction's view, which includes the jobs
// staged before it, and returns the rows to write. It sets the notice.
func (s *Store) stage(txn *badger.Txn, j *job) (_ []row, err error) {
	defer fault(&err) // the other jobs wait for this one
	c := j.change
	if err := j.ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkSizes(c); err != nil {
		return nil, err
	}
	id := c.Record.Key.ID
	current := new(storage.Record)
	switch err := load(txn, id, current); {
	case errors.Is(err, apikey.NotFound):
		current = nil
	case err != nil:
		return nil, fmt.Errorf("badgerstore: apply: %w", err)
	}
	if err := storage.CheckChange(current, c); err != nil {
		return nil, err
	}

	c.Entry.Seq = s.seq + 1
	j.notice = storage.Notice{ID: id, Revision: c.Expect + 1, Deleted: c.Delete}
	rows := entryRows(c.Entry)

	if c.Delete {
		rows = append(rows, row{key: recordKey(id)}) // empty, not removed: see Apply
		rows = append(rows, usageRows(txn, id)...)
		rows = append(rows, indexRows(&current.Key, nil)...)
	} else {
		record := storage.Normalize(c.Record)
		record.Key.Revision = c.Expect + 1
		rows = append(rows, row{key: recordKey(id), value: storage.AppendRecord(nil, record)})
		var before *apikey.Key
		if current != nil {
			before = &current.Key
		}
		rows = append(rows, indexRows(before, &record.Key)...)
		j.notice.Record = &record
	}
	for _, r := range rows {
		if len(r.value) > maxValue {
			return nil, tooLarge("Change", fmt.Sprintf("its record or its audit entry takes %d bytes, at most %d are allowed", len(r.value), maxValue))
		}
	}
	return rows, nil
}

// indexRows returns what a change does to the indexes; before and after are nil
// if there is no key. Most changes leave the indexed fields unchanged.
func indexRows(before, after *apikey.Key) (rows []row) {
	if before != nil && after != nil && before.Name == after.Name && before.Owner == after.Owner &&
		before.Environment == after.Environment && before.CreatedAt.Equal(after.CreatedAt) {
		return nil
	}
	var old, now [][]byte
	if before != nil {
		old = indexKeys(before)
	}
	if after != nil {
		now = indexKeys(after)
	}
	for _, key := range old {
		if !containsKey(now, key) {
			rows = append(rows, row{key: key, remove: true})
		}
	}
	for _, key := range now {
		if !containsKey(old, key) {
			rows = append(rows, row{key: key})
		}
	}
	return rows
}

func containsKey(keys [][]byte, key []byte) bool {
	return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
}

// entryRows returns the rows of an audit entry: itself and its two indexes.
func entryRows(e apikey.AuditEntry) []row {
	rows := []row{
		{key: auditKey(e.Seq), value: storage.AppendEntry(nil, e)},
		{key: withSeq(auditPrefix(apikey.AuditQuery{KeyID: e.KeyID}), e.Seq)},
	}
	if e.Owner != "" {
		rows = append(rows, row{key: withSeq(auditPrefix(apikey.AuditQuery{Owner: e.Owner}), e.Seq)})
	}
	return rows
}

func checkSizes(c storage.Change) error {
	k := &c.Record.Key
	for _, f := range []struct{ name, s string }{
		{"Key.ID", k.ID},
		{"Key.Owner", k.Owner},
		{"Key.Environment", k.Environment},
		{"Entry.Owner", c.Entry.Owner},
	} {
		if len(f.s) > maxString {
			return tooLarge(f.name, fmt.Sprintf("has %d bytes, at most %d are allowed", len(f.s), maxString))
		}
	}
	return nil
}

func tooLarge(field, msg string) error {
	return &apikey.Error{Code: apikey.InvalidArgument, Field: field, Msg: msg}
}
