package pgstore

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Pool returns the store's pool.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// SQL puts the store's schema into a statement.
func (s *Store) SQL(sql string) string { return qualify(s.schema, sql) }

// ListQuery, WordsQuery and AuditQuery return the statements of a query.
func (s *Store) ListQuery(q storage.Query, ids []string) (string, []any) {
	return s.listQuery(q, ids, q.PageLimit())
}
func (s *Store) WordsQuery(q storage.Query) (string, []any)     { return s.wordsQuery(q) }
func (s *Store) AuditQuery(q apikey.AuditQuery) (string, []any) { return s.auditQuery(q) }

// InOrder is what comes before those of a list.
const InOrder = inOrderSQL

// LookAtLittle makes List use its bounds with few keys.
func (s *Store) LookAtLittle() { s.bounds = bounds{words: 6, matches: 3, records: 4} }

// CatchUpOnce writes a part of the names that are behind.
func (s *Store) CatchUpOnce(ctx context.Context) (more bool, err error) { return s.names().batch(ctx) }

// Fill writes records at revision 1 without their audit entries.
func (s *Store) Fill(ctx context.Context, records []storage.Record) error {
	var words [][]any
	keys := pgx.CopyFromSlice(len(records), func(i int) ([]any, error) {
		r := records[i]
		r.Key.Revision = 1
		k := &r.Key
		for _, w := range wordsOf(k) {
			words = append(words, []any{k.ID, w, k.Owner, k.Environment})
		}
		return []any{
			k.ID, k.Owner, k.Environment, k.CreatedAt, int64(1), orNull(k.RevokedAt), storage.AppendRecord(nil, r),
			storage.NameKey(k.Name), int64(1), false,
		}, nil
	})
	_, err := s.pool.CopyFrom(ctx, pgx.Identifier{s.schema, "keys"},
		[]string{"id", "owner", "environment", "created_at", "revision", "revoked_at", "record", "name_key", "listed", "behind"}, keys)
	if err == nil {
		_, err = s.pool.CopyFrom(ctx, pgx.Identifier{s.schema, "words"}, []string{"key_id", "word", "owner", "environment"}, pgx.CopyFromRows(words))
	}
	if err == nil {
		_, err = s.pool.Exec(ctx, "ANALYZE")
	}
	return err
}

// Keep sets the retention of the feed, below what Options allows.
func (s *Store) Keep(d time.Duration) { s.retention = d }

// Damage flips a bit of the record of a key. It goes behind the triggers' back,
// as a disk would.
func (s *Store) Damage(ctx context.Context, id string) error {
	_, err := s.pool.Exec(ctx, qualify(s.schema, `UPDATE "latchkey".keys
		SET revision = revision + 1, record = set_byte(record, length(record) / 2, get_byte(record, length(record) / 2) # 1) WHERE id = $1`), id)
	return err
}

// Schema returns the name of the store's schema.
func (s *Store) Schema() string { return s.schema }

// Vacuum rewrites every table.
func (s *Store) Vacuum(ctx context.Context) error {
	for _, table := range []string{"keys", "words", "audit", "feed_head", "feed", "instances", "usage_hours", "usage_secrets", "limits"} {
		if _, err := s.pool.Exec(ctx, qualify(s.schema, `VACUUM FULL "latchkey".`+table)); err != nil {
			return err
		}
	}
	return nil
}

// LeaveIdle keeps the limiter from removing idle subjects.
func (l *Limiter) LeaveIdle() { l.pruned.last.Store(math.MaxInt64 / 2) }

// SetClock puts a clock of the test's in the place of the server's.
func (l *Limiter) SetClock(now func() int64) {
	l.serverAt = func() *int64 { at := now(); return &at }
	l.SetOwnClock(func() time.Time { return time.Unix(0, now()) })
}

// SetOwnClock puts a clock in the place of this process's.
func (l *Limiter) SetOwnClock(now func() time.Time) { l.now = now }

// SetSlotLife says how long the server keeps slots that are not renewed. Call it
// before the first Take.
func (l *Limiter) SetSlotLife(d time.Duration) { l.slots.life = d }

// RenewSlots renews the slots that are held.
func (l *Limiter) RenewSlots(ctx context.Context) error { return l.renewSlots(ctx) }

// ForgetSlots forgets the slots that are held, as a process that dies.
func (l *Limiter) ForgetSlots() {
	l.slots.mu.Lock()
	defer l.slots.mu.Unlock()
	clear(l.slots.held)
}

// PauseBeforeListening sets how long a listener that lost its connection waits
// before it tries again. Call it before the first Await.
func (s *Store) PauseBeforeListening(d time.Duration) { s.listener.pause = d }

// WaitInClose says how long Close waits for calls that are running.
func (s *Store) WaitInClose(d time.Duration) { s.patience = d }

// Advised returns an error with what to do about it.
func Advised(err error) error { return advised(err) }

// NoteWrite records how a write ended.
func (s *Store) NoteWrite(err error) { s.noteWrite(err) }
