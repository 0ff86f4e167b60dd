package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// CopyFrom fills this store, which must be empty, with everything that another
// store has: keys with their digests and revisions, the audit trail with its
// numbers, and usage: the hours and days of the last [storage.UsageRetention], and
// the totals, last uses and scopes of all time. Names of creations
// (latchkey.NewKey.Once) are parts of keys, and come along. Counts of limits do not:
// every window begins empty.
//
// It writes everything in one transaction, during which no key of this store can
// be created: after an error the store is as empty as before, and CopyFrom can be
// called again. Then it reads both stores and compares them. Nothing may use the
// source meanwhile: what is written to it while it is copied is an error here. An
// error after the transaction says so; the copy is then not to be used.
//
// A key that the source cannot read is an error, because a copy without it would
// call it unknown. Damaged audit entries and rows of usage are left out, as the
// source leaves them out of its answers. [apikey.Usage.ScopesSince] does not go
// back to the source's: it only moves forward.
func (s *Store) CopyFrom(ctx context.Context, from storage.Store) error {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	since := storage.Day(time.Now().Add(-storage.UsageRetention))
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		return (&copying{s, tx, from, since}).all(ctx)
	})
	if err != nil {
		return failed(ctx, "copy", err)
	}
	// Hours that become too old while this runs may be gone; it does not run for days.
	if err := s.compare(ctx, from, since.Add(3*24*time.Hour)); err != nil {
		return fmt.Errorf("pgstore: copy: everything was written, but could not be confirmed: drop the schema and copy again: %w", err)
	}
	return nil
}

// copying is one copy in progress.
type copying struct {
	s     *Store
	tx    pgx.Tx
	from  storage.Store
	since time.Time // of hours and days
}

// Both are read under the lock of the head, which every change takes. That
// keeps changes out until the transaction ends.
const (
	lockHeadSQL = `SELECT head FROM "latchkey".feed_head FOR UPDATE`
	isEmptySQL  = `SELECT NOT EXISTS (SELECT FROM "latchkey".keys) AND NOT EXISTS (SELECT FROM "latchkey".audit)`
	// Positions of the feed are numbers of the trail. A reader before the new head
	// finds that changes are missing, and reads everything again.
	raiseHeadSQL = `UPDATE "latchkey".feed_head SET head = greatest(head, (SELECT max(seq) FROM "latchkey".audit))`
)

func (c *copying) all(ctx context.Context) error {
	if _, err := c.tx.Exec(ctx, qualify(c.s.schema, lockHeadSQL)); err != nil {
		return err
	}
	var empty bool
	if err := c.tx.QueryRow(ctx, qualify(c.s.schema, isEmptySQL)).Scan(&empty); err != nil {
		return err
	}
	if !empty {
		return fmt.Errorf("the schema %q is not empty", c.s.schema)
	}
	known, err := c.trail(ctx)
	if err != nil {
		return err
	}
	err = records(ctx, c.from, func(page []storage.Record) error {
		for i := range page {
			delete(known, page[i].Key.ID)
		}
		return c.page(ctx, page)
	})
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(known)) { // purged, or unreadable
		_, err := c.from.Get(ctx, id)
		if err == nil {
			err = errors.New("List leaves it out")
		}
		if !errors.Is(err, apikey.NotFound) {
			return fmt.Errorf("the source cannot read key %q: %w", id, err)
		}
	}
	_, err = c.tx.Exec(ctx, qualify(c.s.schema, raiseHeadSQL))
	return err
}

// trail copies the audit trail, and returns the IDs in it.
func (c *copying) trail(ctx context.Context) (ids map[string]bool, err error) {
	ids = map[string]bool{}
	return ids, entries(ctx, c.from, func(page []apikey.AuditEntry) error {
		var rows [][]any
		for _, e := range page {
			if len(e.Owner) > maxString || len(e.KeyID) > maxString {
				return fmt.Errorf("audit entry %d: an owner or an ID has more than %d bytes", e.Seq, maxString)
			}
			ids[e.KeyID] = true
			var details *string
			if len(e.Details) > 0 {
				b, err := json.Marshal(e.Details)
				if err != nil {
					return err
				}
				text := string(b)
				details = &text
			}
			rows = append(rows, []any{signed(e.Seq), e.At, e.Actor, e.From, e.Action, e.KeyID, e.Owner, e.Reason, details})
		}
		return c.insert(ctx, "audit", rows, "seq", "at", "actor", "from", "action", "key_id", "owner", "reason", "details")
	})
}

// page copies some keys with their usage.
func (c *copying) page(ctx context.Context, page []storage.Record) error {
	var keys, words, hours, secrets, scopes, days [][]any
	ids := idsOf(page)
	for _, r := range page {
		r = storage.Normalize(r)
		k := &r.Key
		if err := checkSizes(storage.Change{Record: r}); err != nil {
			return fmt.Errorf("key %q: %w", k.ID, err)
		}
		revision := signed(k.Revision)
		keys = append(keys, []any{
			k.ID, k.Owner, k.Environment, k.CreatedAt, revision, orNull(k.RevokedAt), storage.AppendRecord(nil, r),
			storage.NameKey(k.Name), revision, false,
		})
		for _, w := range wordsOf(k) {
			words = append(words, []any{k.ID, w, k.Owner, k.Environment})
		}
		u, err := usageOf(ctx, c.from, k.ID, c.since)
		if err != nil {
			return err
		}
		for _, h := range u.Hours {
			hours = append(hours, append([]any{k.ID, h.Hour, int64(h.Secret)}, countsOf(h.Counts)...))
		}
		for _, t := range u.Secrets {
			at := orNull(t.Last.At)
			row := append([]any{k.ID, int64(t.Secret)}, countsOf(t.Counts)...)
			secrets = append(secrets, append(row, at, at, t.Last.Network, t.Last.UserAgent, t.Last.Route, int32(t.Last.Status)))
		}
		for _, use := range u.Scopes {
			scopes = append(scopes, []any{k.ID, use.Scope, use.Hour})
		}
	}
	activity, err := c.from.Activity(ctx, ids, c.since)
	if err != nil {
		return err
	}
	for _, a := range activity {
		for _, d := range a.Days {
			days = append(days, append([]any{a.ID, d.Day}, countsOf(d.Counts)...))
		}
	}
	counts := countColumns()
	for _, t := range []struct {
		name    string
		rows    [][]any
		columns []string
	}{
		{"keys", keys, []string{"id", "owner", "environment", "created_at", "revision", "revoked_at", "record", "name_key", "listed", "behind"}},
		{"words", words, []string{"key_id", "word", "owner", "environment"}},
		{"usage_hours", hours, slices.Concat([]string{"key_id", "hour", "secret"}, counts)},
		{"usage_secrets", secrets, slices.Concat([]string{"key_id", "secret"}, counts,
			[]string{"last_at", "last_told_at", "last_network", "last_user_agent", "last_route", "last_status"})},
		{"usage_scopes", scopes, []string{"key_id", "scope", "hour"}},
		{"usage_days", days, slices.Concat([]string{"key_id", "day"}, counts)},
	} {
		if err := c.insert(ctx, t.name, t.rows, t.columns...); err != nil {
			return err
		}
	}
	return nil
}

func (c *copying) insert(ctx context.Context, table string, rows [][]any, columns ...string) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := c.tx.CopyFrom(ctx, pgx.Identifier{c.s.schema, table}, columns, pgx.CopyFromRows(rows))
	return err
}

// countsOf returns the values of countColumns.
func countsOf(c apikey.Counts) []any {
	var all []any
	for _, n := range c.Fields() {
		all = append(all, signed(*n))
	}
	return all
}
