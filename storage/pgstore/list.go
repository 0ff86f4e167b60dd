package pgstore

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// List implements [apikey.Store]. Records that are damaged are left out and
// logged; the page holds the next ones instead. In other orders than the newest
// first it reads all that the query selects.
func (s *Store) List(ctx context.Context, q apikey.Query) (apikey.Listing, error) {
	if err := s.life.enter(ctx); err != nil {
		return apikey.Listing{}, err
	}
	defer s.life.leave()
	if !storable(q.Owner) || !storable(q.Environment) || !storable(q.After.ID) {
		return apikey.Listing{}, nil
	}
	filter := storage.NewFilter(q, time.Now())
	walk := q
	if q.Order != apikey.NewestFirst {
		walk.After = apikey.Position{}
	}
	var found []apikey.Record
	for {
		const chunk = 1000
		rows, err := s.listRows(ctx, walk, chunk)
		if err != nil {
			return apikey.Listing{}, failed(ctx, "list", err)
		}
		for _, r := range rows {
			record, err := r.decode()
			if err != nil {
				s.log.ErrorContext(ctx, "pgstore: list leaves out a record that cannot be read", "err", err)
				continue
			}
			if !filter.Match(&record.Key) {
				continue
			}
			if filter.ByUse() {
				a, err := s.activity(ctx, record.Key.ID, time.Now())
				if err != nil {
					return apikey.Listing{}, failed(ctx, "list", err)
				}
				if !filter.Unused(a.Last.At) {
					continue
				}
			}
			found = append(found, record)
		}
		if len(rows) < chunk || q.Order == apikey.NewestFirst && len(found) > q.PageLimit() {
			return pick(q, found), nil
		}
		last := rows[len(rows)-1]
		walk.After = apikey.Position{CreatedAt: last.createdAt, ID: last.id}
	}
}

// pick makes a page of the records that a query selects.
func pick(q apikey.Query, found []apikey.Record) (l apikey.Listing) {
	slices.SortFunc(found, func(a, b apikey.Record) int {
		return storage.Compare(q.Order, storage.PositionOf(&a.Key), storage.PositionOf(&b.Key))
	})
	q.After.CreatedAt = storage.NormalizeTime(q.After.CreatedAt)
	for i, r := range found {
		at := storage.PositionOf(&r.Key)
		if !q.After.IsZero() && storage.Compare(q.Order, at, q.After) <= 0 {
			continue
		}
		if l.Records = append(l.Records, r); len(l.Records) == q.PageLimit() {
			if i < len(found)-1 {
				l.Next = at
			}
			break
		}
	}
	return l
}

// activity sums up one key.
func (s *Store) activity(ctx context.Context, id string, since time.Time) (apikey.Activity, error) {
	a := apikey.Activity{ID: id}
	u, err := s.Usage(ctx, id, storage.Day(since))
	for _, h := range u.Hours {
		storage.AddHour(&a, h.Hour, h.Counts)
	}
	a.Last = u.Last()
	return a, err
}

// Activity implements [apikey.Store].
func (s *Store) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	if err := s.life.enter(ctx); err != nil {
		return nil, err
	}
	defer s.life.leave()
	if err := storage.CheckActivity(ids); err != nil {
		return nil, err
	}
	all := make([]apikey.Activity, len(ids))
	for i, id := range ids {
		var err error
		if all[i], err = s.activity(ctx, id, since); err != nil {
			return nil, err
		}
	}
	return all, nil
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
