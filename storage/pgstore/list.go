package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/storage"
)

// bounds limits how much one call of List looks at.
type bounds struct {
	words   int // rows of words
	matches int // keys that have the word
	records int // records read in the order, if filters may leave most out
}

// usualBounds let a call take about twenty milliseconds at most.
var usualBounds = bounds{words: 3000, matches: 1000, records: 2000}

// List implements [storage.Store]. Damaged records are left out and logged, and
// the following ones fill the page.
//
// If few keys have a term, it is looked up and the keys are sorted. Otherwise
// the order is walked, and records that the query does not select are skipped,
// up to 2,000 in one call. Then the page is short.
func (s *Store) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return storage.Listing{}, err
	}
	defer leave()
	if !storable(q.Owner) || !storable(q.Environment) || !storable(q.After.ID) {
		return storage.Listing{}, nil
	}
	page, err := s.list(ctx, q)
	if err != nil {
		return storage.Listing{}, failed(ctx, "list", err)
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, q storage.Query) (page storage.Listing, err error) {
	q.After = storage.Start(q)
	if q.Search != "" || q.Order == storage.ByName {
		if err := s.names().catchUp(ctx); err != nil {
			return page, err
		}
	}
	var ids []string // to search among; nil for all
	if q.Search != "" {
		if ids, err = s.search(ctx, q); err != nil || ids != nil && len(ids) == 0 {
			return page, err
		}
	}
	filter := storage.NewFilter(q, time.Now())
	left := s.bounds.records
	page.Records = make([]storage.Record, 0, min(q.PageLimit(), 100)) // growing it takes more memory than the page
	for {
		// One row more than the page needs shows whether there is more.
		chunk := q.PageLimit() - len(page.Records) + 1
		if filter.Selective() {
			chunk = min(4*chunk, left)
		}
		rows, err := s.listRows(ctx, q, ids, chunk)
		if err != nil {
			return storage.Listing{}, err
		}
		for _, r := range rows {
			if len(page.Records) == q.PageLimit() {
				page.Next = q.After
				return page, nil
			}
			q.After = r.place()
			record, err := r.decode()
			if err != nil {
				s.log.ErrorContext(ctx, "pgstore: list leaves out a record that cannot be read", "error", err)
				continue
			}
			if filter.Match(&record.Key) && filter.Unused(r.last()) {
				page.Records = append(page.Records, record)
			}
		}
		if len(rows) < chunk {
			return page, nil
		}
		if left -= len(rows); left <= 0 && filter.Selective() {
			page.Next = q.After
			return page, nil
		}
	}
}

// listed is a row and its place, which a damaged record cannot supply.
type listed struct {
	row
	createdAt time.Time
	nameKey   []byte
	lastUse   *time.Time
}

func (l *listed) place() storage.Position {
	name, _ := storage.SplitNameKey(l.nameKey)
	return storage.Position{CreatedAt: storage.NormalizeTime(l.createdAt), Name: name, ID: l.id}
}

func (l *listed) last() time.Time {
	if l.lastUse == nil {
		return time.Time{}
	}
	return *l.lastUse
}

func (s *Store) listRows(ctx context.Context, q storage.Query, ids []string, limit int) ([]listed, error) {
	all := make([]listed, 0, min(limit, 100))
	sql, args := s.listQuery(q, ids, limit)
	err := s.inOrder(ctx, sql, args, func(rows pgx.Rows) (err error) {
		all, err = pgx.AppendRows(all, rows, func(r pgx.CollectableRow) (l listed, err error) {
			err = r.Scan(&l.id, &l.revision, &l.revokedAt, &l.record, &l.createdAt, &l.nameKey, &l.lastUse)
			return l, err
		})
		return err
	})
	return all, err
}

// inOrder sends a query that must read an index in its order and stop early,
// whatever the planner knows about the values. The planner would assume an
// average owner, and for the owner with the most keys read and sort all of
// them.
func (s *Store) inOrder(ctx context.Context, sql string, args []any, read func(pgx.Rows) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	b := &pgx.Batch{} // one round trip
	b.Queue(beginReadSQL)
	b.Queue(inOrderSQL)
	b.Queue(sql, args...).Query(read)
	b.Queue("commit")
	return conn.SendBatch(ctx, b).Close()
}

func (s *Store) listQuery(q storage.Query, ids []string, limit int) (sql string, args []any) {
	var conditions listBit
	args = []any{int64(limit)}
	if ids != nil {
		conditions, args = conditions|among, append(args, ids)
	}
	if q.Owner != "" {
		conditions, args = conditions|byOwner, append(args, q.Owner)
	}
	if q.Environment != "" {
		conditions, args = conditions|byEnvironment, append(args, q.Environment)
	}
	switch q.Order {
	case storage.OldestFirst:
		conditions |= oldestFirst
	case storage.ByName:
		conditions |= byName
	}
	if !q.After.IsZero() {
		conditions |= afterPosition
		if q.Order == storage.ByName {
			args = append(args, storage.NameKey(q.After.Name), q.After.ID)
		} else {
			args = append(args, within(q.After.CreatedAt), q.After.ID)
		}
	}
	if !q.UnusedSince.IsZero() {
		conditions |= withUse
	}
	return s.sql.list[conditions], args
}

// search looks the term up. It returns the keys that have it, or nil if there
// are too many to look at one by one.
func (s *Store) search(ctx context.Context, q storage.Query) (ids []string, err error) {
	sql, args := s.wordsQuery(q)
	var rows int64
	err = s.inOrder(ctx, sql, args, func(r pgx.Rows) error {
		_, err := pgx.ForEachRow(r, []any{&rows, &ids}, func() error { return nil })
		return err
	})
	if err != nil {
		return nil, err
	}
	if rows > int64(s.bounds.words) || len(ids) > s.bounds.matches {
		return nil, nil
	}
	return append([]string{}, ids...), nil
}

func (s *Store) wordsQuery(q storage.Query) (sql string, args []any) {
	term := storage.Fold(q.Search)
	first := []byte(term[:min(len(term), maxTerm)])
	end := append([]byte{}, first...)
	end[len(end)-1]++ // UTF-8 has no byte 255
	args = []any{int64(s.bounds.words + 1), first, end, int32(s.bounds.matches + 1)}
	var conditions listBit
	if q.Owner != "" {
		conditions, args = conditions|byOwner, append(args, q.Owner)
	}
	if q.Environment != "" {
		conditions, args = conditions|byEnvironment, append(args, q.Environment)
	}
	return s.sql.words[conditions], args
}

// within moves a time that is outside PostgreSQL's calendar to the nearest time
// that can be stored: a cursor comes from outside.
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
