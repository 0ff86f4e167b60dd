package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// AddUsage implements [storage.Store], each batch in one transaction.
func (s *Store) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	return s.change(ctx, "add usage", func(ctx context.Context, tx *sql.Tx) error {
		for _, d := range batch {
			var there bool
			if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM keys WHERE id = ?)`, d.KeyID).Scan(&there); err != nil {
				return err
			}
			if !there {
				continue // usage never recreates a key
			}
			for _, add := range []func(context.Context, *sql.Tx, storage.UsageDelta) error{addHour, addSecret, addScopes} {
				if err := add(ctx, tx, d); err != nil {
					return err
				}
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM hours WHERE hour < ?`, micro(time.Now().Add(-storage.UsageRetention)))
		return err
	})
}

func addHour(ctx context.Context, tx *sql.Tx, d storage.UsageDelta) error {
	if d.Counts == (apikey.Counts{}) {
		return nil
	}
	hour := micro(d.Hour.Truncate(time.Hour))
	var stored []byte
	err := tx.QueryRowContext(ctx, `SELECT counts FROM hours WHERE (key_id, hour, secret) = (?, ?, ?)`, d.KeyID, hour, d.Secret).Scan(&stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	sum, err := decodeCounts(stored)
	if err != nil {
		return err
	}
	sum.Add(d.Counts)
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO hours (key_id, hour, secret, counts) VALUES (?, ?, ?, ?)`, d.KeyID, hour, d.Secret, encodeCounts(sum))
	return err
}

func addSecret(ctx context.Context, tx *sql.Tx, d storage.UsageDelta) error {
	var row secretRow
	err := row.scan(tx.QueryRowContext(ctx, `SELECT `+secretColumns+` FROM secrets WHERE (key_id, secret) = (?, ?)`, d.KeyID, d.Secret).Scan)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	row.Counts.Add(d.Counts)
	d.Last.At = storage.NormalizeTime(d.Last.At)
	if d.Last.Replaces(row.Last) {
		row.Last = d.Last
	}
	at := micro(row.Last.At)
	row.Last.At = time.Time{} // has a column
	last, err := json.Marshal(row.Last)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO secrets (key_id, secret, counts, last_at, last) VALUES (?, ?, ?, ?, ?)`,
		d.KeyID, d.Secret, encodeCounts(row.Counts), at, last)
	return err
}

func addScopes(ctx context.Context, tx *sql.Tx, d storage.UsageDelta) error {
	for _, scope := range d.Scopes {
		if _, err := tx.ExecContext(ctx, `INSERT INTO scopes (key_id, scope, hour) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET hour = max(hour, excluded.hour)`, d.KeyID, scope, micro(d.Hour.Truncate(time.Hour))); err != nil {
			return err
		}
	}
	return nil
}

const secretColumns = `secret, counts, last_at, last`

type secretRow struct{ apikey.UsageSecret }

func (r *secretRow) scan(scan func(...any) error) error {
	var counts, last []byte
	var at int64
	if err := scan(&r.Secret, &counts, &at, &last); err != nil {
		return err
	}
	if err := json.Unmarshal(last, &r.Last); err != nil {
		return err
	}
	r.Last.At = fromMicro(at)
	var err error
	r.Counts, err = decodeCounts(counts)
	return err
}

// encodeCounts writes the fields in their order, without zeros at the end. So a
// later version of the module may have more of them, and the columns stay.
func encodeCounts(c apikey.Counts) []byte {
	b, end := []byte{}, 0
	for _, n := range c.Fields() {
		b = binary.AppendUvarint(b, *n)
		if *n > 0 {
			end = len(b)
		}
	}
	return b[:end]
}

func decodeCounts(b []byte) (c apikey.Counts, err error) {
	for _, field := range c.Fields() {
		if len(b) == 0 {
			break
		}
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return apikey.Counts{}, fmt.Errorf("counts: %w", storage.ErrCorrupt)
		}
		*field, b = n, b[size:]
	}
	if len(b) > 0 {
		return apikey.Counts{}, fmt.Errorf("counts: %w", storage.ErrVersion)
	}
	return c, nil
}
