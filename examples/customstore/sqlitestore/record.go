package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Get implements [storage.Store].
func (s *Store) Get(ctx context.Context, id string) (record storage.Record, err error) {
	err = s.view(ctx, "get", func(tx *sql.Tx) error {
		record, err = get(ctx, tx, id)
		return err
	})
	return record, err
}

func get(ctx context.Context, tx *sql.Tx, id string) (storage.Record, error) {
	var b []byte
	err := tx.QueryRowContext(ctx, `SELECT record FROM keys WHERE id = ?`, id).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return storage.Record{}, apikey.NotFound
	}
	if err != nil {
		return storage.Record{}, err
	}
	record, err := storage.DecodeRecord(b)
	if err != nil {
		return storage.Record{}, fmt.Errorf("record of key %q: %w", id, err)
	}
	return record, nil
}

// Apply implements [storage.Store]. Subscribers are called when the transaction
// has ended, so that they may use the store.
func (s *Store) Apply(ctx context.Context, c storage.Change) (revision uint64, err error) {
	notice := storage.Notice{ID: c.Record.Key.ID, Revision: c.Expect + 1, Deleted: c.Delete}
	err = s.change(ctx, "apply", func(ctx context.Context, tx *sql.Tx) error {
		var current *storage.Record
		r, err := get(ctx, tx, notice.ID)
		switch {
		case err == nil:
			current = &r
		case !errors.Is(err, apikey.NotFound): // also damage: the key may have been revoked, and nothing may replace it
			return err
		}
		if err := storage.CheckChange(current, c); err != nil {
			return err
		}
		if c.Delete {
			err = remove(ctx, tx, notice.ID)
		} else {
			notice.Record, err = put(ctx, tx, c)
		}
		if err != nil {
			return err
		}
		e := storage.NormalizeEntry(c.Entry)
		_, err = tx.ExecContext(ctx, `INSERT INTO audit (key_id, owner, entry) VALUES (?, ?, ?)`, e.KeyID, e.Owner, storage.AppendEntry(nil, e))
		return err
	})
	if err != nil {
		return 0, err
	}
	s.hub.Publish(notice)
	return notice.Revision, nil
}

// put writes the record and returns it as it can be read from now on.
func put(ctx context.Context, tx *sql.Tx, c storage.Change) (*storage.Record, error) {
	r := storage.Normalize(c.Record)
	k := &r.Key
	k.Revision = c.Expect + 1
	_, err := tx.ExecContext(ctx, `INSERT INTO keys (id, owner, environment, created_at, name_key, record) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, environment = excluded.environment,
			created_at = excluded.created_at, name_key = excluded.name_key, record = excluded.record`,
		k.ID, k.Owner, k.Environment, micro(k.CreatedAt), storage.NameKey(k.Name), storage.AppendRecord(nil, r))
	return &r, err
}

// remove deletes a key and its usage; its audit trail stays.
func remove(ctx context.Context, tx *sql.Tx, id string) error {
	for _, statement := range []string{
		`DELETE FROM keys WHERE id = ?`, `DELETE FROM hours WHERE key_id = ?`,
		`DELETE FROM secrets WHERE key_id = ?`, `DELETE FROM scopes WHERE key_id = ?`,
	} {
		if _, err := tx.ExecContext(ctx, statement, id); err != nil {
			return err
		}
	}
	return nil
}

// Audit implements [storage.Store].
func (s *Store) Audit(ctx context.Context, q apikey.AuditQuery) (page []apikey.AuditEntry, err error) {
	var where conditions
	if q.KeyID != "" {
		where.add("key_id = ?", q.KeyID)
	}
	if q.Owner != "" {
		where.add("owner = ?", q.Owner)
	}
	if q.Before > 0 {
		where.add("seq < ?", int64(min(q.Before, 1<<63-1)))
	}
	err = s.view(ctx, "audit", func(tx *sql.Tx) error {
		return each(ctx, tx, `SELECT seq, entry FROM audit`+where.String()+` ORDER BY seq DESC`, where.args, func(scan func(...any) error) (bool, error) {
			var seq uint64
			var b []byte
			if err := scan(&seq, &b); err != nil {
				return false, err
			}
			e, err := storage.DecodeEntry(b)
			if err != nil {
				slog.ErrorContext(ctx, "sqlitestore: an audit entry cannot be read and is left out", "seq", seq, "err", err)
				return true, nil
			}
			e.Seq = seq
			page = append(page, e)
			return len(page) < q.PageLimit(), nil
		})
	})
	return page, err
}
