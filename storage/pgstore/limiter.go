package pgstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// LimiterOptions configures [NewLimiter]. The zero value is ready to use.
type LimiterOptions struct {
	// Timeout bounds one decision, including the wait for a connection and for
	// other requests of the same subject; default 50 ms, at least 1 ms.
	Timeout time.Duration
	// Logger receives a message, at level Warn, when idle subjects could not be
	// removed. Nil means [slog.Default].
	Logger *slog.Logger
}

// Limiter is a [limiter.Limiter] whose counts are in the database of a [Store],
// so that any number of processes enforce the same limits. Make one with
// [NewLimiter]. It may be used concurrently, starts no goroutine, and ends with
// its store.
//
// The guarantee is [limiter.Window]'s: in no interval of a window's length do
// all processes together admit more than N. A hit counts for its window and at
// most one segment longer: a 60th of a window up to an hour, a 144th of a
// longer one. All windows of all subjects are decided and charged under the
// locks of their rows or not at all, by the clock of the server, read under
// those locks: the clocks of the processes do not matter. Setting that clock
// back admits nothing early; setting it forward drops the hits that have left
// by the new time.
//
// A decision is one round trip, and giving back or paying a difference another
// ([limiter.Settler]); those about one subject take turns. Put a
// [limiter.Escrow] in front of it, one in each process: most decisions then
// need no round trip. The Escrow loses nothing over this limiter
// ([limiter.NewEscrow]).
//
// Durability: charges are committed without a sync. A server that is stopped,
// or that hands over to a synchronous standby, loses none. A crash loses at
// most the last three wal_writer_delay, 0.6 seconds unless that was changed:
// windows then admit again what was admitted in that time, and no more. The
// keys in the same database are not affected.
//
// Rows of idle subjects are removed in small steps, during later calls.
type Limiter struct {
	s        *Store
	timeout  time.Duration
	log      *slog.Logger
	take     string
	prune    string
	pruned   clock
	serverAt func() *int64 // a replacement for the server's clock; for tests
}

var _ limiter.Settler = (*Limiter)(nil)

// How often to look for idle subjects, and how many to remove at most.
const (
	pruneLimitsEvery = time.Second
	pruneLimitsRows  = 500
)

const decideSQL = `SELECT "latchkey".limit_charge($1::bytea[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint, $6::bigint, $7::bigint, $8::boolean, $9::integer, $10::bigint)`

// pruneLimitsSQL removes rows of which nothing has counted for $1 microseconds.
// It does not wait for locks, so it cannot be part of a deadlock.
const pruneLimitsSQL = `
WITH gone AS (
	DELETE FROM "latchkey".limits WHERE subject = ANY (ARRAY (
		SELECT subject FROM "latchkey".limits
		WHERE idle_at < ((extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $1::bigint) * 1000
		LIMIT $2::bigint FOR UPDATE SKIP LOCKED
	))
	RETURNING 1
)
SELECT count(*) FROM gone`

// NewLimiter returns a limiter on the store's pool and schema. It makes no
// round trip; an error names the option that is wrong.
func NewLimiter(s *Store, o LimiterOptions) (*Limiter, error) {
	if s == nil {
		return nil, errors.New("pgstore: new limiter: the store is nil")
	}
	if o.Timeout == 0 {
		o.Timeout = 50 * time.Millisecond
	}
	if o.Timeout < time.Millisecond {
		return nil, fmt.Errorf("pgstore: LimiterOptions.Timeout: %v is less than a millisecond", o.Timeout)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Limiter{
		s: s, timeout: o.Timeout, log: o.Logger,
		take: qualify(s.schema, decideSQL), prune: s.sql.pruneLimits,
		serverAt: func() *int64 { return nil },
	}, nil
}

// Take implements [limiter.Limiter]. If ctx has ended, the error is ctx's. If
// the database does not answer in time, or not at all, the error wraps
// [limiter.ErrUnavailable]. After the store's Close it is [limiter.ErrClosed].
// Nothing is retried. A request whose answer was lost may have been charged;
// nothing else is charged without being admitted.
func (l *Limiter) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	d, _, err := l.decide(ctx, &r, deed{charge: true})
	return d, err
}

// Peek implements [limiter.Limiter]. It takes no locks and waits for none.
func (l *Limiter) Peek(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	d, _, err := l.decide(ctx, &r, deed{})
	return d, err
}

// Reserve is what [limiter.NewEscrow] looks for. The life is what was left of the
// current segment, in the window whose segment ends first, by the server's
// clock after the call began.
func (l *Limiter) Reserve(ctx context.Context, r limiter.Request) (limiter.Decision, time.Duration, error) {
	return l.decide(ctx, &r, deed{charge: true})
}

// Settle implements [limiter.Settler], in one round trip.
func (l *Limiter) Settle(ctx context.Context, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	cost := s.Cost
	was := max(r.Cost, 1)
	switch {
	case cost < 0:
		return limiter.Decision{}, fmt.Errorf("%w: pgstore: cost %d is negative", limiter.ErrInvalid, cost)
	case r.Cost >= 0 && cost <= was: // only the difference, with no new decision
		after, _, err := l.decide(ctx, &r, deed{settle: true, was: was - cost, at: d.At})
		if err == nil && cost > 0 {
			after.At = d.At
		}
		return after, err
	}
	r.Cost = cost
	after, _, err := l.decide(ctx, &r, deed{charge: true, was: was, at: d.At})
	return after, err
}

// deed is what to do about a request: nothing (Peek), charge it, or give back
// what it was charged at a given time, with or without charging it again.
type deed struct {
	charge, settle bool
	was, at        int64
}

func (l *Limiter) decide(ctx context.Context, r *limiter.Request, do deed) (d limiter.Decision, life time.Duration, err error) {
	if err := r.Validate(); err != nil {
		return d, 0, err
	}
	cost := max(r.Cost, 1)
	ctx, leave, err := l.s.life.enter(ctx)
	if errors.Is(err, apikey.Closed) {
		return d, 0, limiter.ErrClosed
	} else if err != nil {
		return d, 0, err
	}
	defer leave()
	q := questionOf(r)
	if len(q.lengths) == 0 {
		d.Allowed = true
		return d, 0, nil
	}
	bounded, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	var answer []int64
	if do.settle {
		cost = 0
	}
	args := []any{q.names, q.counts, q.lengths, q.most, do.was, do.at, cost, do.charge, max(l.timeout.Milliseconds(), 1), l.serverAt()}
	err = ours{l.s.pool}.run(bounded, l.take, args, func(row pgx.Row) error { return row.Scan(&answer) })
	if err == nil && len(answer) != 3+3*len(q.lengths) {
		err = fmt.Errorf("the server's answer has %d numbers", len(answer))
	}
	if err != nil {
		return d, 0, unavailable(ctx, err)
	}
	if do.charge {
		l.tidy(bounded)
	}
	d = q.decision(answer[1:])
	if do.charge && d.Allowed {
		d.At = answer[0]
	}
	return d, time.Duration(answer[2]), nil
}

// unavailable wraps the reason why no decision could be made. A time limit of
// this package is not a context's error, because callers believe that one comes
// from themselves.
func unavailable(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if isContext(err) {
		return fmt.Errorf("%w: pgstore: limit: %v", limiter.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: pgstore: limit: %w", limiter.ErrUnavailable, advised(err))
}

// tidy removes a few idle rows from time to time, in what is left of a call's
// time.
func (l *Limiter) tidy(ctx context.Context) {
	if !l.pruned.due(pruneLimitsEvery) {
		return
	}
	var gone int64
	err := ours{l.s.pool}.run(ctx, l.prune, []any{int64(0), int64(pruneLimitsRows)}, func(row pgx.Row) error { return row.Scan(&gone) })
	if err != nil && ctx.Err() == nil {
		l.log.WarnContext(ctx, "pgstore: idle limits could not be removed", "error", advised(err))
	}
}
