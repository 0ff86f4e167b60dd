package limiter

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"
)

// EscrowOptions configure an [Escrow]. The zero value is fine for up to four
// instances.
type EscrowOptions struct {
	// Instances is how many processes share the limits, each with an Escrow. It
	// divides the limits while the shared limiter is down, and what may be
	// reserved and unused. If it is too low, more than N are admitted while the
	// shared limiter is down. 0 means 4; negative is an error.
	Instances int
	// Block is the most cost that one round trip reserves. The first round trip
	// for a subject reserves what the request costs, each further one up to twice
	// as much as the one before, as far as the subject's own demand will use it
	// up. 0 means 10; 1 asks for each request; negative is an error.
	Block int
	// Strict returns [ErrUnavailable] while the shared limiter does not answer. By
	// default an instance then admits N / Instances, rounded down, counting what
	// it has admitted itself; [Escrow] says what that guarantees.
	Strict bool
	// Timeout is how long one call of the shared limiter may take before it
	// counts as failed. 0 means 50 ms; negative is an error.
	Timeout time.Duration
	// Logger receives a message when the shared limiter stops answering and when
	// it answers again. nil means [slog.Default].
	Logger *slog.Logger
}

// Escrow is a [Limiter] over one that several processes share: it reserves
// small blocks there, and most decisions need no round trip. Each process has
// an Escrow of its own over the same shared counts. All methods are safe for
// concurrent use. Only one call at a time asks for a subject, in the goroutine
// of a caller, and the others wait for it as long as their contexts allow.
// Escrow starts no goroutine and needs no Close. Idle subjects are removed
// inside Take.
//
// Never too much: in no interval of a window's length do all instances together
// admit more than N, for any arrivals, as long as the shared limiter answers. A
// reservation is charged at once, and used only while the charge is sure to
// count for the whole window that follows the use ([NewEscrow]). That time runs
// from before the shared limiter was asked, on the monotonic clock, and is
// shortened by a thousandth for clock drift. Suspending a machine breaks the
// guarantee, by what that machine held.
//
// Hardly too little: a reservation that is not used in time is lost until it
// leaves its window. An instance limits what it has lost and still holds to N /
// (8 x Instances) of each window, rounded down: an eighth of N for all
// instances together, and 4 of 60 a minute for four instances (each then holds
// one, however large the block). Near the limit, blocks shrink to single
// requests. The only other loss is the charge of requests whose answers did not
// arrive or came too late. An Escrow that is dropped gives nothing back.
//
// A refusal is remembered until RetryAfter has passed, so later requests with
// the same cost need no round trip, unless several of more than two subjects
// refused together. A change of limits discards it, and what
// was reserved under the old limits.
//
// The statuses are as of the last round trip for the subject: Remaining
// subtracts what this instance has used since, Reset counts down, and what
// others did shows after the next round trip.
//
// When the shared limiter fails, it is left alone for a while, and then asked
// again by one call at a time. Meanwhile, by default, each instance admits up
// to its share of each window, counting what it admitted before. So, in any
// interval of a window's length:
//
//   - if everything admitted in it was admitted without the shared limiter, it
//     is at most N;
//   - while no instance has found the way back, it is at most what each
//     instance admitted before or its share, whichever is more: N if the load
//     was even, and below 2N in any case;
//   - otherwise it is at most N plus one share for each instance that was cut
//     off: the shared limiter never learns what was admitted without it.
//
// If even that is too much, use [EscrowOptions.Strict]. A request that costs more
// than the share, and any request if the share is 0, gets [ErrUnavailable].
//
// If the shared limiter has no method Reserve, it is asked for windows that are
// one second longer. This keeps the guarantee at a price: a client at its limit
// gets N in W + 1 s. A subject with a window below a minute then reserves
// nothing. All users of these counts must go through an Escrow.
type Escrow struct {
	shared  reserver
	own     *Window // what this instance admitted; nil if that is not needed
	base    time.Time
	many    int64
	block   int64
	timeout time.Duration
	breaker breaker

	seed   maphash.Seed
	shards [escrowShards]escrowShard
	hand   atomic.Uint32
}

var _ Limiter = (*Escrow)(nil)

// NewEscrow returns a limiter over the shared one, which it does not close. An
// error names the field that is wrong.
//
// The Escrow loses nothing over a limiter that has the method
//
//	Reserve(ctx context.Context, r Request) (d Decision, life time.Duration, err error)
//
// as [Window] does. Reserve is Take, and also reports how long the charge may be
// held before it is used. If the request was allowed, then for each time a
// before life has passed since the call began, the charge counts in each window
// of the request until a plus the window's length at least. 0 is always right.
// The life of a refused request is 0.
func NewEscrow(shared Limiter, o EscrowOptions) (*Escrow, error) {
	switch {
	case shared == nil:
		return nil, invalidf("the shared limiter is nil")
	case o.Instances < 0:
		return nil, invalidf("EscrowOptions.Instances %d is negative", o.Instances)
	case o.Block < 0:
		return nil, invalidf("EscrowOptions.Block %d is negative", o.Block)
	case o.Timeout < 0:
		return nil, invalidf("EscrowOptions.Timeout %v is negative", o.Timeout)
	}
	if o.Instances == 0 {
		o.Instances = 4
	}
	if o.Block == 0 {
		o.Block = 10
	}
	if o.Timeout == 0 {
		o.Timeout = 50 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	e := &Escrow{
		base:    time.Now(),
		many:    int64(o.Instances),
		block:   int64(o.Block),
		timeout: o.Timeout,
		seed:    maphash.MakeSeed(),
	}
	e.breaker.log = o.Logger
	if r, ok := shared.(reserver); ok {
		e.shared = r
	} else {
		e.shared = widened{shared}
	}
	if !o.Strict {
		var err error
		if e.own, err = New(Options{Logger: o.Logger}); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Degraded returns why decisions are made without the shared limiter: the newest
// failure, until a call of it succeeds. It is nil while the shared limiter answers.
func (e *Escrow) Degraded() error { return e.breaker.degraded() }

// now returns nanoseconds on the monotonic clock.
func (e *Escrow) now() int64 { return int64(time.Since(e.base)) }

// Take implements [Limiter]. It allocates nothing if it needs no round trip. An
// error wraps [ErrUnavailable] if the shared limiter does not answer and the
// share cannot answer either, or if the context ended; [ErrInvalid] and
// [ErrClosed] from the shared limiter are returned unchanged.
func (e *Escrow) Take(ctx context.Context, r Request) (d Decision, err error) {
	err = e.decide(ctx, &r, true, &d)
	return d, err
}

// Peek implements [Limiter]. It asks the shared limiter unless it already has
// the answer.
func (e *Escrow) Peek(ctx context.Context, r Request) (d Decision, err error) {
	err = e.decide(ctx, &r, false, &d)
	return d, err
}
