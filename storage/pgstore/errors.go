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

// failed wraps an error of the driver. If the context has ended, the error is
// the context's; a time limit of the driver must not look like one, because
// callers believe that a context's error comes from themselves.
func failed(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), apikey.Closed) {
			return apikey.Closed
		}
		return ctx.Err()
	}
	if isContext(err) {
		return fmt.Errorf("pgstore: %s: %v", op, err)
	}
	return fmt.Errorf("pgstore: %s: %w", op, advised(err))
}

// uncertain wraps an error that came when the change may have been committed.
// It is not a context's error, which would say that nothing was changed.
func uncertain(op string, err error) error {
	if isContext(err) {
		return fmt.Errorf("pgstore: %s: it is not known whether the change was made: %v", op, err)
	}
	return fmt.Errorf("pgstore: %s: %w", op, advised(err))
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

// unfit reports whether the server refused a value: a time outside its
// calendar, text that is not text.
func unfit(err error) bool { return strings.HasPrefix(sqlState(err), "22") }

// rolledBack reports whether the server rolled the transaction back to let
// another one through: nothing was changed, and it may be tried again.
func rolledBack(err error) bool {
	code := sqlState(err)
	return code == "40001" || code == "40P01"
}

func invalid(field, format string, args ...any) error {
	return &apikey.Error{Code: apikey.InvalidArgument, Field: field, Msg: fmt.Sprintf(format, args...)}
}

// storable reports whether PostgreSQL accepts s as text.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// signed converts a number to a bigint. Only a hostile caller makes it too
// large, and it is then capped.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
