package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

type txKey struct{}

// WithTx returns a context under which a creation is a part of the caller's
// transaction: the key exists if and only if that transaction commits. It is
// for "a customer and their first key, or neither":
//
//	key, token, err := keys.Create(pgstore.WithTx(ctx, tx), by, latchkey.NewKey{…})
//
// The transaction must be of the same database. Note:
//
//   - Only [Store.Apply] uses it, and only for a creation; any other change is
//     [apikey.InvalidArgument]. A service that has changed a key updates its
//     cache and cuts requests at once, which it could not undo with the
//     transaction. A creation does neither.
//   - The token works once the transaction has committed. Hand it out after
//     that; until then, and after a rollback, the key is unknown, and an
//     instance that was asked for it may remember that until it learns about
//     the change.
//   - From the creation on, the transaction holds the lock of the feed's
//     counter: no key of the schema can be changed by anybody until it ends.
//     Make the creation the last step before the commit, and do nothing slow in
//     between.
//   - A transaction at repeatable read or serializable fails with a
//     serialization error if any key has changed since its snapshot. Use read
//     committed, or be ready to run it again.
func WithTx(ctx context.Context, tx pgx.Tx) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}

func txOf(ctx context.Context) (pgx.Tx, bool) {
	tx, ok := ctx.Value(txKey{}).(pgx.Tx)
	return tx, ok && tx != nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// writer runs a statement in a transaction.
type writer interface {
	querier
	// run sends the statement and reads the row that it returns.
	run(ctx context.Context, sql string, args []any, read func(pgx.Row) error) error
	// own reports whether the transaction belongs to the statement.
	own() bool
}

func (s *Store) writer(tx pgx.Tx) writer {
	if tx != nil {
		return theirs{tx}
	}
	return ours{s.pool}
}

type theirs struct{ pgx.Tx }

func (theirs) own() bool { return false }

func (w theirs) run(ctx context.Context, sql string, args []any, read func(pgx.Row) error) error {
	return read(w.QueryRow(ctx, sql, args...))
}

type ours struct{ *pgxpool.Pool }

func (ours) own() bool { return true }

// run makes one round trip. It sets the isolation level explicitly, because a
// role or a database may have another default: at repeatable read, writers that
// wait for the same row fail instead of taking turns.
func (w ours) run(ctx context.Context, sql string, args []any, read func(pgx.Row) error) error {
	conn, err := w.Acquire(ctx)
	if err != nil {
		return unsent{err}
	}
	defer conn.Release()
	b := &pgx.Batch{}
	b.Queue(beginSQL)
	b.Queue(sql, args...).QueryRow(read)
	b.Queue("commit")
	return conn.SendBatch(ctx, b).Close()
}

// unsent is an error that came before anything was sent; it implements what
// [pgconn.SafeToRetry] checks for.
type unsent struct{ error }

func (unsent) SafeToRetry() bool { return true }

func (e unsent) Unwrap() error { return e.error }

const beginSQL = "begin isolation level read committed read write"
