package pgstore

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/storage"
)

// A poll is one round trip with two transactions: the first registers the
// instance; the second, begun after the first has committed, reads. One
// statement for both would be wrong. Suppose that an instance polls, and its
// statement takes its snapshot. A revocation commits. The revoking instance
// polls and finds no live instance that has not applied the revocation. Only
// then does the first statement commit. Its instance has read a head from
// before the revocation, so it trusts its cache for a lease, and nobody waits
// for it. With two transactions an instance that read an old head was
// registered before the head moved.
//
// The registration is as durable as a change, for the same reason: nobody would
// wait for an instance whose registration a crash of the server has lost.

// registerSQL also deletes instances that have been dead for an hour.
const registerSQL = `
WITH dead AS (
	DELETE FROM "latchkey".instances WHERE id IN (
		SELECT id FROM "latchkey".instances
		WHERE beat_at + lease < clock_timestamp() - interval '1 hour' AND id <> $1::text
		LIMIT 100 FOR UPDATE SKIP LOCKED
	)
)
INSERT INTO "latchkey".instances AS i (id, acked, epoch, lease, beat_at)
VALUES ($1::text, $2::bigint, $3::text, $4::bigint * interval '1 microsecond', clock_timestamp())
ON CONFLICT (id) DO UPDATE SET acked = excluded.acked, epoch = excluded.epoch, lease = excluded.lease, beat_at = excluded.beat_at`

// pollSQL reads everything in one snapshot: the head, the changes after $2 up
// to it, and the live instances, always including $1.
const pollSQL = `
SELECT
	e.epoch,
	h.head,
	h.head > $2::bigint AND coalesce((SELECT min(f.position) FROM "latchkey".feed AS f) > $2::bigint + 1, true),
	c.positions, c.ids, c.revisions, c.deleted, c.ages,
	coalesce(i.acked, h.head), i.alive
FROM "latchkey".feed_head AS h,
LATERAL (
	SELECT h.epoch::text || $4::text || CASE WHEN $5::boolean THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) ELSE '' END
) AS e (epoch),
LATERAL (
	SELECT array_agg(f.position), array_agg(f.key_id), array_agg(f.revision), array_agg(f.deleted),
		array_agg((extract(epoch FROM clock_timestamp() - f.at) * 1000000)::bigint)
	FROM (
		SELECT * FROM "latchkey".feed WHERE position > $2::bigint AND position <= h.head
		ORDER BY position LIMIT $3::bigint
	) AS f
) AS c (positions, ids, revisions, deleted, ages),
LATERAL (
	SELECT min(CASE WHEN i.epoch = e.epoch THEN i.acked ELSE 0 END), count(*) FROM "latchkey".instances AS i
	WHERE i.beat_at + i.lease > clock_timestamp() OR i.id = $1::text
) AS i (acked, alive)`

// maxLease keeps the sum of a time and a lease within the calendar.
const maxLease = 1000 * time.Hour

// Poll implements [storage.Feed].
//
// The epoch is a random one made by [Migrate], combined with the server's
// timeline if that is known: a server that was restored to a point in time, or
// promoted from a replica that may have missed commits, has a different epoch.
func (s *Store) Poll(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return storage.FeedPage{}, err
	}
	defer leave()
	for field, text := range map[string]string{"FeedQuery.Instance": q.Instance, "FeedQuery.Epoch": q.Epoch} {
		if len(text) > maxString || !storable(text) {
			return storage.FeedPage{}, invalid(field, "must be UTF-8 text without NUL of at most %d bytes", maxString)
		}
	}
	if s.listener != nil {
		s.listener.polled()
	}
	b := &pgx.Batch{}
	if q.Instance != "" {
		lease := min(max(q.Lease, 0), maxLease)
		b.Queue(beginSQL)
		b.Queue(s.sql.register, q.Instance, signed(q.Acked), q.Epoch, lease.Microseconds())
		b.Queue("commit")
	}
	var page storage.FeedPage
	// Nothing follows the last position, and the sum must not overflow.
	after := min(signed(q.After), math.MaxInt64-1)
	b.Queue(s.sql.poll, q.Instance, after, int64(q.PageLimit()), epochMark, s.timeline).QueryRow(func(row pgx.Row) error {
		return scanPage(row, &page)
	})
	err = s.polls.SendBatch(ctx, b).Close()
	if s.listener != nil {
		s.listener.answered(err == nil)
	}
	if err != nil {
		return storage.FeedPage{}, failed(ctx, "poll", err)
	}
	return page, nil
}

// Announce implements [storage.Feed].
func (s *Store) Announce(ctx context.Context, topic string) error {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if len(topic) > maxString || !storable(topic) {
		return invalid("topic", "must be UTF-8 text without NUL of at most %d bytes", maxString)
	}
	err = s.writer(nil).run(ctx, s.sql.announce, []any{topic, s.schema}, func(row pgx.Row) error {
		var position int64
		var void *string
		return row.Scan(&position, &void)
	})
	if err != nil {
		return failed(ctx, "announce", err)
	}
	return nil
}

const epochMark = "/"

// mostPolls is how many polls of a store may run at a time. A service sends one
// at a time.
const mostPolls = 2

// newPolls makes the pool for polls: waiting for a connection to read or write
// keys must not keep an instance from learning about changes. The pool has its
// connection from the beginning, because an instance that has just started
// cannot answer before its first poll.
func newPolls(ctx context.Context, like *pgxpool.Config) (*pgxpool.Pool, error) {
	config := like.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = mostPolls, 0, 0
	config.ConnConfig.OnNotification = nil // there are none
	polls, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := polls.Ping(ctx); err != nil {
		polls.Close()
		return nil, err
	}
	return polls, nil
}

func scanPage(row pgx.Row, p *storage.FeedPage) error {
	var (
		head, acked          int64
		positions, revisions []int64
		ages                 []int64 // in microseconds
		ids                  []string
		deleted              []bool
	)
	err := row.Scan(&p.Epoch, &head, &p.Truncated, &positions, &ids, &revisions, &deleted, &ages, &acked, &p.Alive)
	if err != nil {
		return err
	}
	p.Head, p.Acked = uint64(head), uint64(acked)
	for i, position := range positions {
		p.Changes = append(p.Changes, storage.FeedChange{
			Position: uint64(position), Age: max(0, time.Duration(ages[i])*time.Microsecond),
			Notice: storage.Notice{ID: ids[i], Revision: uint64(revisions[i]), Deleted: deleted[i]},
		})
	}
	return nil
}

// findTimeline finds out whether the server reports its timeline. Some managed
// servers do not.
func (s *Store) findTimeline(ctx context.Context) error {
	var timeline string
	err := s.pool.QueryRow(ctx, `SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)`).Scan(&timeline)
	switch {
	case err == nil:
		s.timeline = true
	case sqlState(err) == "":
		return err
	case sqlState(err) == "55000": // it is in recovery
		return fmt.Errorf(readOnly+": %w", err)
	default:
		s.log.WarnContext(ctx, "pgstore: the server does not tell its timeline: a restored backup may go unnoticed", "error", err)
	}
	return nil
}
