package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
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
// [NewLimiter]. It may be used concurrently and ends with its store. While
// requests with a limit on requests in progress are being served, a goroutine
// renews their slots.
//
// The guarantee is [limiter.Limiter]'s, for all processes together. All limits of
// all subjects are decided and charged under the locks of their rows or not at
// all, by the clock of the server, read under those locks: the clocks of the
// processes do not matter, except that a quota is answered with
// [limiter.ErrUnavailable] if they are apart by more than a period. Setting the
// server's clock back admits nothing early; setting it forward drops what has
// left by the new time.
//
// A decision is one round trip, and [Limiter.Settle] another; those about one
// subject take turns. Put a [limiter.Shared] in front of it, one in each process,
// for what it does when the database is slow or away.
//
// Requests in progress: the slots of a process that has died are free after
// [limiter.SlotLife]. A process that is stopped, or cut off from the database,
// for longer than that loses its slots, too, and others may take them. When it
// goes on, the requests that it still serves are above N: as many as it had
// slots, until they end. They count again from the next renewal on, which a
// process that was only stopped makes at once, and one that was cut off within
// four seconds of its return.
//
// Durability: charges are committed without a sync, except those of a quota of
// [apikey.Ever], which are synced like keys before they are admitted. A server
// that is stopped, or that hands over to a synchronous standby, loses none. A
// crash loses at most the last three wal_writer_delay, 0.6 seconds unless that
// was changed: windows and quotas of a period then admit again what was admitted
// in that time, and no more; slots are put back by their renewal. The keys in the
// same database are not affected.
//
// Rows of idle subjects are removed in small steps, during later calls: those
// with a quota when its period has ended, those with a quota of Ever never.
type Limiter struct {
	s        *Store
	timeout  time.Duration
	log      *slog.Logger
	use      string
	amend    string
	renew    string
	prune    string
	pruned   clock
	explicit atomic.Bool // each statement needs a transaction that says what it is
	slots    slots
	periods  periods
	now      func() time.Time // finds the periods of quotas
	serverAt func() *int64    // a replacement for the server's clock; for tests
}

var _ limiter.Settler = (*Limiter)(nil)

// How often to look for idle subjects, and how many to remove at most.
const (
	pruneLimitsEvery = time.Second
	pruneLimitsRows  = 500
)

const (
	useSQL   = `SELECT "latchkey".limit_use($1::bytea[], $2::bigint[], $3::boolean, $4::bigint, $5::bigint, $6::bigint, $7::boolean, $8::integer, $9::bigint)`
	amendSQL = `SELECT "latchkey".limit_amend($1::bytea[], $2::bigint[], $3::bigint, $4::bigint, $5::boolean, $6::integer, $7::bigint)`
)

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
		use: qualify(s.schema, useSQL), amend: qualify(s.schema, amendSQL), renew: qualify(s.schema, renewSQL), prune: s.sql.pruneLimits,
		slots: slots{life: limiter.SlotLife},
		now:   time.Now, serverAt: func() *int64 { return nil },
	}, nil
}

// Take implements [limiter.Limiter]. If ctx has ended, the error is ctx's. If
// the database does not answer in time, or not at all, the error wraps
// [limiter.ErrUnavailable]. After the store's Close it is [limiter.ErrClosed].
// A request whose answer was lost may have been charged, and its slot is then
// held for [limiter.SlotLife]; nothing else is charged without being admitted.
func (l *Limiter) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	return l.decide(ctx, &r, true)
}

// Peek implements [limiter.Limiter]. It takes no locks and waits for none.
func (l *Limiter) Peek(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	return l.decide(ctx, &r, false)
}

func (l *Limiter) decide(ctx context.Context, r *limiter.Request, charge bool) (d limiter.Decision, err error) {
	if err := r.Validate(); err != nil {
		return d, err
	}
	q, err := l.questionOf(r)
	if err != nil {
		return d, fmt.Errorf("%w: %w", limiter.ErrInvalid, err)
	}
	q.askAll(r)
	slot := newSlot()
	d, at, err := l.call(ctx, &q, l.use, q.names, q.asks, charge, slot, int64(l.slots.life), q.keep, q.durable, l.patience(), l.serverAt())
	if err != nil || !charge || !d.Allowed || d.N == 0 {
		return d, err
	}
	d.At = at
	if l.hold(slot, &q, d) {
		d.Slot = uint64(slot)
	}
	return d, nil
}

// Settle implements [limiter.Settler], in one round trip. A slot whose Settle
// fails is free after [limiter.SlotLife].
func (l *Limiter) Settle(ctx context.Context, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	if err := cmp.Or(r.Validate(), s.Validate(r)); err != nil {
		return limiter.Decision{}, err
	}
	q, err := l.questionOf(&r)
	if err == nil {
		err = q.askToAmend(&r, d, s)
	}
	if err != nil {
		return limiter.Decision{}, fmt.Errorf("%w: %w", limiter.ErrInvalid, err)
	}
	slot := int64(0)
	if s.Over {
		slot = slotOf(d)
		l.slots.release(ctx, slot)
	}
	after, _, err := l.call(ctx, &q, l.amend, q.names, q.asks, slot, q.keep, q.durable, l.patience(), l.serverAt())
	if err != nil {
		return after, err
	}
	if after.At = d.At; !s.Over {
		after.Slot = d.Slot
	}
	for i := range after.N { // shadows that were not charged
		after.Windows[i].Violated = d.Windows[i].Violated
	}
	return after, nil
}

// call asks one of the server's functions, and also returns when it has charged
// the request.
func (l *Limiter) call(ctx context.Context, q *question, sql string, args ...any) (d limiter.Decision, at int64, err error) {
	ctx, leave, err := l.s.life.enter(ctx)
	if errors.Is(err, apikey.Closed) {
		return d, 0, limiter.ErrClosed
	} else if err != nil {
		return d, 0, err
	}
	defer leave()
	if len(q.limits) == 0 {
		d.Allowed = true
		return d, 0, nil
	}
	bounded, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	var answer []int64
	err = l.run(bounded, sql, args, &answer)
	switch {
	case err != nil:
	case answer == nil:
		err = errors.New("the clocks of this program and of the server are apart by more than a period of one of the quotas")
	case len(answer) != answerHead+3*len(q.limits):
		err = fmt.Errorf("the server's answer has %d numbers", len(answer))
	}
	if err != nil {
		return d, 0, unavailable(ctx, err)
	}
	l.tidy(bounded)
	return q.decision(answer), answer[2], nil
}

// run makes one round trip. A statement is its own transaction as long as the
// defaults of the role and the database allow that. If they make it fail, for
// being read-only or serializable, it has changed nothing: it is sent again in
// a transaction that does not rely on them, and so are all that follow.
func (l *Limiter) run(ctx context.Context, sql string, args []any, answer *[]int64) error {
	if !l.explicit.Load() {
		err := l.s.pool.QueryRow(ctx, sql, args...).Scan(answer)
		switch sqlState(err) {
		case "25006", "40001": // read_only_sql_transaction, serialization_failure
		default:
			return err
		}
		l.explicit.Store(true)
	}
	return ours{l.s.pool}.run(ctx, sql, args, func(row pgx.Row) error { return row.Scan(answer) })
}

// patience is how long a statement waits for a lock, in milliseconds.
func (l *Limiter) patience() int32 { return int32(max(l.timeout.Milliseconds(), 1)) }

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
