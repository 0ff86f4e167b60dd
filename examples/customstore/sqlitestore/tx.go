package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// change runs f in a transaction that writes. A caller whose context ends while
// it waits for its turn has changed nothing. Once begun, a transaction runs to
// its end, some milliseconds on a local disk: so its outcome is known, and no
// error of a context hides a change that was made.
func (s *Store) change(ctx context.Context, what string, f func(context.Context, *sql.Tx) error) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return failed(ctx, what, err)
	}
	defer conn.Close()
	ctx = context.WithoutCancel(ctx)
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return failed(ctx, what, err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := f(ctx, tx); err != nil {
		return failed(ctx, what, err)
	}
	if err := tx.Commit(); err != nil { // the driver ends a transaction that SQLite leaves open
		return failed(ctx, what, err)
	}
	return nil
}

// view runs f in a transaction that reads: all its statements see one state.
func (s *Store) view(ctx context.Context, what string, f func(*sql.Tx) error) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return failed(ctx, what, err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return failed(ctx, what, err)
	}
	return nil
}

// failed wraps what went wrong: errors.Is still finds an [apikey.Code] in it. A
// driver that was interrupted says so in its own words; the contract asks for
// ctx's.
func failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("sqlitestore: %s: %w", what, err)
}

// each calls read for each row of a query. To stop early, read returns false.
func each(ctx context.Context, tx *sql.Tx, query string, args []any, read func(scan func(...any) error) (more bool, err error)) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if more, err := read(rows.Scan); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// conditions are those of a WHERE clause.
type conditions struct {
	sql  []string
	args []any
}

func (c *conditions) add(sql string, args ...any) {
	c.sql, c.args = append(c.sql, sql), append(c.args, args...)
}

func (c *conditions) String() string {
	if len(c.sql) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.sql, " AND ")
}
