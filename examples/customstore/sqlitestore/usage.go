package sqlitestore

import (
	"context"
	"database/sql"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Usage implements [storage.Store].
func (s *Store) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	u := apikey.Usage{ScopesSince: s.began}
	err := s.view(ctx, "usage", func(tx *sql.Tx) (err error) {
		if u.Hours, err = hours(ctx, tx, id, since); err != nil {
			return err
		}
		if u.Secrets, err = secrets(ctx, tx, id); err != nil {
			return err
		}
		return each(ctx, tx, `SELECT scope, hour FROM scopes WHERE key_id = ? ORDER BY scope`, []any{id}, func(scan func(...any) error) (bool, error) {
			var use apikey.ScopeUse
			var hour int64
			err := scan(&use.Scope, &hour)
			use.Hour = fromMicro(hour)
			u.Scopes = append(u.Scopes, use)
			return true, err
		})
	})
	if err != nil {
		return apikey.Usage{}, err
	}
	return u, nil
}

// Activity implements [storage.Store].
func (s *Store) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	all := make([]apikey.Activity, len(ids))
	err := s.view(ctx, "activity", func(tx *sql.Tx) error {
		if err := storage.CheckActivity(ids); err != nil {
			return err
		}
		for i, id := range ids {
			all[i].ID = id
			hours, err := hours(ctx, tx, id, storage.Day(since))
			if err != nil {
				return err
			}
			for _, h := range hours {
				storage.AddHour(&all[i], h.Hour, h.Counts)
			}
			secrets, err := secrets(ctx, tx, id)
			if err != nil {
				return err
			}
			all[i].Last = apikey.Usage{Secrets: secrets}.Last()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func hours(ctx context.Context, tx *sql.Tx, id string, since time.Time) (all []apikey.UsageHour, err error) {
	err = each(ctx, tx, `SELECT hour, secret, counts FROM hours WHERE key_id = ? AND hour >= ? ORDER BY hour, secret`, []any{id, micro(since)},
		func(scan func(...any) error) (bool, error) {
			var h apikey.UsageHour
			var hour int64
			var counts []byte
			if err := scan(&hour, &h.Secret, &counts); err != nil {
				return false, err
			}
			h.Hour = fromMicro(hour)
			if h.Hour.Before(since) { // by less than a microsecond
				return true, nil
			}
			h.Counts, err = decodeCounts(counts)
			all = append(all, h)
			return true, err
		})
	return all, err
}

func secrets(ctx context.Context, tx *sql.Tx, id string) (all []apikey.UsageSecret, err error) {
	err = each(ctx, tx, `SELECT `+secretColumns+` FROM secrets WHERE key_id = ? ORDER BY secret`, []any{id}, func(scan func(...any) error) (bool, error) {
		var row secretRow
		err := row.scan(scan)
		all = append(all, row.UsageSecret)
		return true, err
	})
	return all, err
}
