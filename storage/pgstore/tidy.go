package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/storage"
)

// How often a store looks for old rows, and how many it then removes.
const (
	tidyEvery = time.Minute
	tidyRows  = 5000
)

// pruneFeedSQL removes the oldest changes, but none that is younger than $1
// microseconds, and leaves no gap: it ends before the first younger one,
// whatever the clock did. The newest change stays.
const pruneFeedSQL = `
WITH gone AS (
	DELETE FROM "latchkey".feed WHERE position IN (
		SELECT position FROM "latchkey".feed
		WHERE position < coalesce(
			(SELECT f.position FROM "latchkey".feed AS f
			WHERE f.at > clock_timestamp() - $1::bigint * interval '1 microsecond'
			ORDER BY f.position LIMIT 1),
			(SELECT head FROM "latchkey".feed_head)
		)
		ORDER BY position LIMIT $2::bigint
	)
	RETURNING 1
)
SELECT count(*) FROM gone`

const pruneHoursSQL = `
WITH gone AS (
	DELETE FROM "latchkey".usage_hours WHERE ctid = ANY (ARRAY (
		SELECT ctid FROM "latchkey".usage_hours
		WHERE hour < clock_timestamp() - $1::bigint * interval '1 microsecond'
		LIMIT $2::bigint FOR UPDATE SKIP LOCKED
	))
	RETURNING 1
)
SELECT count(*) FROM gone`

const pruneDaysSQL = `
WITH gone AS (
	DELETE FROM "latchkey".usage_days WHERE ctid = ANY (ARRAY (
		SELECT ctid FROM "latchkey".usage_days
		WHERE day < ((clock_timestamp() - $1::bigint * interval '1 microsecond') AT TIME ZONE 'UTC')::date
		LIMIT $2::bigint FOR UPDATE SKIP LOCKED
	))
	RETURNING 1
)
SELECT count(*) FROM gone`

// tidy removes, once a minute and in small steps, what is older than it must be
// kept. It follows a call that has done its work, and does not affect its
// result.
func (s *Store) tidy(ctx context.Context) {
	if !s.tidied.due(tidyEvery) {
		return
	}
	if _, err := s.prune(ctx); err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "pgstore: what is old could not be removed", "error", advised(err))
	}
}

// prune makes one step, and reports whether there may be more to do.
func (s *Store) prune(ctx context.Context) (more bool, err error) {
	for _, p := range []struct {
		sql string
		age time.Duration
	}{{s.sql.pruneFeed, s.retention}, {s.sql.pruneHours, storage.UsageRetention + time.Hour}, {s.sql.pruneDays, storage.UsageRetention}, {s.sql.pruneLimits, 0}} {
		var gone int64
		err := ours{s.pool}.run(ctx, p.sql, []any{p.age.Microseconds(), int64(tidyRows)}, func(row pgx.Row) error { return row.Scan(&gone) })
		if err != nil {
			return false, err
		}
		more = more || gone == tidyRows
	}
	return more, nil
}

// Maintain removes everything that is older than it must be kept: changes of
// the feed past [Options.FeedRetention], hours and days of usage past
// [storage.UsageRetention], and subjects of limits under which nothing counts
// any more. Stores do this on their own in small steps, as they are used.
// Autovacuum frees the space.
func (s *Store) Maintain(ctx context.Context) error {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for {
		more, err := s.prune(ctx)
		if err != nil {
			return failed(ctx, "maintain", err)
		}
		if !more {
			return nil
		}
	}
}
