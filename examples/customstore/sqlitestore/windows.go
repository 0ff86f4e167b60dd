package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// LoadWindows implements [limiter.Journal]: with it, limits survive a restart.
// Subjects are bytes, not text.
func (s *Store) LoadWindows(ctx context.Context, subject string) (state []byte, err error) {
	err = s.view(ctx, "load windows", func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT state FROM windows WHERE subject = ?`, []byte(subject)).Scan(&state)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return state, err
}

// SaveWindows implements [limiter.Journal]. States that nobody deletes go when
// the store is opened after their time.
func (s *Store) SaveWindows(ctx context.Context, subject string, state []byte, ttl time.Duration) error {
	return s.change(ctx, "save windows", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO windows (subject, state, until) VALUES (?, ?, ?)`,
			[]byte(subject), state, micro(time.Now().Add(ttl)))
		return err
	})
}

// DeleteWindows implements [limiter.Journal].
func (s *Store) DeleteWindows(ctx context.Context, subjects []string) error {
	return s.change(ctx, "delete windows", func(ctx context.Context, tx *sql.Tx) error {
		for _, subject := range subjects {
			if _, err := tx.ExecContext(ctx, `DELETE FROM windows WHERE subject = ?`, []byte(subject)); err != nil {
				return err
			}
		}
		return nil
	})
}
