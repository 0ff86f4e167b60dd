package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Activity implements [storage.Store], in one round trip.
func (s *Store) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := storage.CheckActivity(ids); err != nil {
		return nil, err
	}
	known := make(map[string]*apikey.Activity, len(ids))
	var asked []string
	for _, id := range ids {
		if known[id] == nil && storable(id) {
			known[id] = &apikey.Activity{ID: id}
			asked = append(asked, id)
		}
	}
	b := &pgx.Batch{}
	b.Queue(s.sql.days, asked, within(storage.Day(since))).Query(func(rows pgx.Rows) error {
		var (
			id  string
			day time.Time
			c   apikey.Counts
		)
		_, err := pgx.ForEachRow(rows, append([]any{&id, &day}, pointers(&c)...), func() error {
			storage.AddHour(known[id], day, c)
			return nil
		})
		return err
	})
	b.Queue(s.sql.lastUses, asked).Query(func(rows pgx.Rows) error {
		var id string
		var last apikey.LastUse
		_, err := pgx.ForEachRow(rows, []any{&id, &last.At, &last.Network, &last.UserAgent, &last.Route, &last.Status}, func() error {
			last.At = storage.NormalizeTime(last.At)
			known[id].Last = last
			return nil
		})
		return err
	})
	if len(asked) > 0 {
		if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
			return nil, failed(ctx, "activity", err)
		}
	}
	all := make([]apikey.Activity, len(ids))
	for i, id := range ids {
		all[i].ID = id
		if a := known[id]; a != nil {
			all[i].Last = a.Last
			all[i].Days = append(all[i].Days, a.Days...) // an ID may occur twice; nothing is shared
		}
	}
	return all, nil
}
