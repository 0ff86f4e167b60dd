package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// row is a key as it is in the table.
type row struct {
	id        string
	revision  int64
	revokedAt *time.Time
	record    []byte
}

func (r *row) scan(from pgx.Row) error {
	return from.Scan(&r.id, &r.revision, &r.revokedAt, &r.record)
}

// decode returns the record, which shares no memory with the row. If columns
// disagree with the record, they were changed behind the store's back: somebody
// who revokes a key by hand in SQL must not see it go on working.
func (r *row) decode() (storage.Record, error) {
	record, err := storage.DecodeRecord(r.record)
	switch k := &record.Key; {
	case err != nil:
	case k.ID != r.id:
		err = fmt.Errorf("%w: the record is another key's", storage.ErrCorrupt)
	case k.Revision != uint64(r.revision) || k.RevokedAt.IsZero() != (r.revokedAt == nil):
		err = fmt.Errorf("%w: the columns of the row do not agree with its record", storage.ErrCorrupt)
	}
	if err != nil {
		return storage.Record{}, fmt.Errorf("key %q: %w", r.id, err)
	}
	return record, nil
}

// find reads one key; it returns errors unwrapped.
func (s *Store) find(ctx context.Context, q querier, id string) (storage.Record, error) {
	if id == "" || !storable(id) {
		return storage.Record{}, apikey.NotFound
	}
	var r row
	err := r.scan(q.QueryRow(ctx, s.sql.get, id))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return storage.Record{}, apikey.NotFound
	case err != nil:
		return storage.Record{}, err
	}
	return r.decode()
}

// Get implements [storage.Store]. A damaged record is [storage.ErrCorrupt].
func (s *Store) Get(ctx context.Context, id string) (storage.Record, error) {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return storage.Record{}, err
	}
	defer leave()
	r, err := s.find(ctx, s.pool, id)
	switch {
	case errors.Is(err, apikey.NotFound):
		return storage.Record{}, err
	case err != nil:
		return storage.Record{}, failed(ctx, "get", err)
	}
	return r, nil
}

// GetBatch implements [storage.BatchGetter] in one round trip. Such reads use at
// most half of the pool's connections, however many are asked for: the rest is
// for everything else.
func (s *Store) GetBatch(ctx context.Context, ids []string) (records []storage.Record, errs []error) {
	records, errs = make([]storage.Record, len(ids)), make([]error, len(ids))
	found, err := s.findAll(ctx, ids)
	for i, id := range ids {
		r, ok := found[id]
		switch {
		case err != nil:
			errs[i] = err
		case !ok:
			errs[i] = apikey.NotFound
		default:
			if records[i], errs[i] = r.decode(); errs[i] != nil {
				errs[i] = failed(ctx, "get", errs[i])
			}
		}
	}
	return records, errs
}

func (s *Store) findAll(ctx context.Context, ids []string) (map[string]*row, error) {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	select {
	case s.batches <- struct{}{}:
		defer func() { <-s.batches }()
	case <-ctx.Done():
		return nil, failed(ctx, "get", ctx.Err())
	}
	asked := make([]string, 0, len(ids))
	for _, id := range ids {
		if storable(id) {
			asked = append(asked, id)
		}
	}
	rows, err := s.pool.Query(ctx, s.sql.getBatch, asked)
	if err != nil {
		return nil, failed(ctx, "get", err)
	}
	found := make(map[string]*row)
	for rows.Next() {
		r := new(row)
		if err := r.scan(rows); err != nil {
			rows.Close()
			return nil, failed(ctx, "get", err)
		}
		found[r.id] = r
	}
	if err := rows.Err(); err != nil {
		return nil, failed(ctx, "get", err)
	}
	return found, nil
}
