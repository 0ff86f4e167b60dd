package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// List implements [apikey.Store]. Records that are damaged are left out and
// logged; the page holds the next ones instead.
func (s *Store) List(ctx context.Context, q apikey.Query) ([]apikey.Record, error) {
	if err := s.life.enter(ctx); err != nil {
		return nil, err
	}
	defer s.life.leave()
	if !storable(q.Owner) || !storable(q.Environment) || !storable(q.After.ID) {
		return nil, nil
	}
	var page []apikey.Record
	for {
		want := q.PageLimit() - len(page)
		rows, err := s.listRows(ctx, q, want)
		if err != nil {
			return nil, failed(ctx, "list", err)
		}
		for _, r := range rows {
			record, err := r.decode()
			if err != nil {
				s.log.ErrorContext(ctx, "pgstore: list leaves out a record that cannot be read", "err", err)
				continue
			}
			page = append(page, record)
		}
		if len(rows) < want || len(page) == q.PageLimit() {
			return page, nil
		}
		last := rows[len(rows)-1]
		q.After = apikey.Position{CreatedAt: last.createdAt, ID: last.id}
	}
}

// listed is a row and its place, which a damaged record cannot tell.
type listed struct {
	row
	createdAt time.Time
}

func (s *Store) listRows(ctx context.Context, q apikey.Query, limit int) ([]listed, error) {
	sql, args := s.listQuery(q, limit)
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (l listed, err error) {
		err = r.Scan(&l.id, &l.revision, &l.revokedAt, &l.record, &l.createdAt)
		return l, err
	})
}

func (s *Store) listQuery(q apikey.Query, limit int) (sql string, args []any) {
	var conditions listBit
	args = []any{int64(limit)}
	if q.Owner != "" {
		conditions, args = conditions|byOwner, append(args, q.Owner)
	}
	if q.Environment != "" {
		conditions, args = conditions|byEnvironment, append(args, q.Environment)
	}
	if q.After.ID != "" || !q.After.CreatedAt.IsZero() {
		conditions, args = conditions|afterPosition, append(args, within(q.After.CreatedAt), q.After.ID)
	}
	return s.sql.list[conditions], args
}

// within moves an instant that PostgreSQL's calendar does not reach to the edge
// of what it stores: a cursor comes from outside.
func within(t time.Time) time.Time {
	t = storage.NormalizeTime(t)
	if first := time.Date(-4000, 1, 1, 0, 0, 0, 0, time.UTC); t.Before(first) {
		return first
	}
	if last := time.Date(290_000, 1, 1, 0, 0, 0, 0, time.UTC); t.After(last) {
		return last
	}
	return t
}
