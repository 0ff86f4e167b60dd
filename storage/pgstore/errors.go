package pgstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wontopos/latchkey/apikey"
)

// failed wraps an error of the driver. A context that has ended is its own
// error; a time limit of the driver's must not look like one, because callers
// take a context's error for their own doing.
func failed(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), apikey.ErrClosed) {
			return apikey.ErrClosed
		}
		return ctx.Err()
	}
	if isContext(err) {
		return fmt.Errorf("pgstore: %s: %v", op, err)
	}
	return fmt.Errorf("pgstore: %s: %w", op, err)
}

// uncertain wraps an error that came when the change may have been committed.
// It is no context's error, which would say that nothing was changed.
func uncertain(op string, err error) error {
	if isContext(err) {
		return fmt.Errorf("pgstore: %s: it is not known whether the change was made: %v", op, err)
	}
	return fmt.Errorf("pgstore: %s: %w", op, err)
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// sqlState returns PostgreSQL's code of an error, or "".
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// unfit reports that the server refused a value: an instant that its calendar
// does not reach, text that is not text.
func unfit(err error) bool { return strings.HasPrefix(sqlState(err), "22") }

// rolledBack reports that the server took the transaction back to let another
// one through: nothing was changed, and it may be tried again.
func rolledBack(err error) bool {
	code := sqlState(err)
	return code == "40001" || code == "40P01"
}

func invalid(field, format string, args ...any) error {
	return &apikey.Error{Code: apikey.InvalidArgument, Field: field, Msg: fmt.Sprintf(format, args...)}
}

// storable reports whether PostgreSQL takes s for text.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// signed makes a bigint of a number that only a hostile caller lets grow so far.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
