package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

const (
	// maxString bounds, in bytes, the strings in an index: three of them and a
	// time fit into a B-tree entry.
	maxString = 768
	// maxTries bounds how often a change is retried because another one came in
	// between and the two do not contradict each other.
	maxTries = 8
)

// Apply implements [storage.Store]. It reads the record, decides the change here
// by the rules that all stores share ([storage.CheckChange]), and writes it
// with one statement that makes sure that the record is still as it was read. A
// creation is written without a read.
//
// If the context ends while the statement runs, the outcome is unknown, and the
// error is then not the context's. See [WithTx] for a creation as a part of the
// caller's transaction.
func (s *Store) Apply(ctx context.Context, c storage.Change) (revision uint64, err error) {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	if err := checkSizes(c); err != nil {
		return 0, err
	}
	tx, joined := txOf(ctx)
	creates := c.Expect == 0 && !c.Delete
	if joined && !creates {
		return 0, invalid("Change", "only the creation of a key can be a part of the caller's transaction")
	}
	w := s.writer(tx)

	var current *storage.Record
	if !creates {
		if current, err = s.current(ctx, w, c.Record.Key.ID); err != nil {
			return 0, err
		}
	}
	for range maxTries {
		if err := storage.CheckChange(current, c); err != nil {
			return 0, err
		}
		done, err := s.write(ctx, w, current, c)
		if err != nil {
			return 0, err
		}
		if done {
			if !joined {
				s.tidy(ctx)
			}
			return c.Expect + 1, nil
		}
		// The record has changed: what is it now, and does the change still stand?
		if current, err = s.current(ctx, w, c.Record.Key.ID); err != nil {
			return 0, err
		}
	}
	return 0, apikey.Conflict
}

// current reads the record that a change is based on; nil if there is no such
// key.
func (s *Store) current(ctx context.Context, q querier, id string) (*storage.Record, error) {
	r, err := s.find(ctx, q, id)
	switch {
	case errors.Is(err, apikey.NotFound):
		return nil, nil
	case err != nil:
		return nil, failed(ctx, "apply", err)
	}
	return &r, nil
}

// write sends the statement of a change. It returns false if the key is no
// longer at the expected revision.
func (s *Store) write(ctx context.Context, w writer, current *storage.Record, c storage.Change) (bool, error) {
	sql, args, err := s.statement(current, c)
	if err != nil {
		return false, err
	}
	for try := 1; ; try++ {
		done := false
		err := w.run(ctx, sql, args, func(row pgx.Row) error {
			var position int64
			var void *string
			err := row.Scan(&position, &void)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			done = err == nil
			return err
		})
		if w.own() {
			s.noteWrite(err)
		}
		switch {
		case err == nil:
			return done, nil
		case unfit(err):
			return false, invalid("Change", "PostgreSQL cannot store it: %v", err)
		case rolledBack(err) && w.own() && try < maxTries:
			continue
		case pgconn.SafeToRetry(err) || refused(err) || !w.own():
			return false, failed(ctx, "apply", err)
		}
		return false, uncertain("apply", err)
	}
}

// refused reports whether the server ended the statement, and so its
// transaction, with an error. An error that ends the connection says nothing
// about the commit.
func refused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.SeverityUnlocalized == "ERROR"
}

// statement returns the statement that writes a change based on the record as
// it was read; the parameters are those of changeSQL.
func (s *Store) statement(current *storage.Record, c storage.Change) (sql string, args []any, err error) {
	e := storage.NormalizeEntry(c.Entry)
	var details *string
	if len(e.Details) > 0 {
		b, err := json.Marshal(e.Details)
		if err != nil {
			return "", nil, fmt.Errorf("pgstore: apply: %w", err)
		}
		text := string(b)
		details = &text
	}
	k := &c.Record.Key
	args = []any{
		k.ID, signed(c.Expect), c.Delete,
		e.At, e.Actor, e.From, e.Action, e.Owner, e.Reason, details, s.schema,
	}
	if c.Delete {
		return s.sql.remove, args, nil
	}
	r := storage.Normalize(c.Record)
	r.Key.Revision = c.Expect + 1
	args = append(args, r.Key.Owner, r.Key.Environment, r.Key.CreatedAt, orNull(r.Key.RevokedAt), storage.AppendRecord(nil, r))
	if current != nil && sameNames(&current.Key, &r.Key) {
		return s.sql.update, args, nil
	}
	args = append(args, storage.NameKey(r.Key.Name), wordsOf(&r.Key))
	if c.Expect == 0 {
		return s.sql.create, args, nil
	}
	return s.sql.rename, args, nil
}

// sameNames reports whether a change leaves the rows of the table of words
// unchanged.
func sameNames(old, k *apikey.Key) bool {
	return k.Name == old.Name && k.Owner == old.Owner && k.Environment == old.Environment
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
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
			return invalid(f.name, "has %d bytes, at most %d are allowed", len(f.s), maxString)
		}
	}
	if c.Expect >= math.MaxInt64 {
		return apikey.Conflict // no key is there
	}
	return nil
}
