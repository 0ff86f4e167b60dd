package limiter

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"
)

// Degraded says what an [Escrow] does while its shared limiter does not answer.
type Degraded uint8

const (
	// DegradedShare admits N / Instances, rounded down, by what this instance
	// has admitted itself. See [Escrow] for what that is worth.
	DegradedShare Degraded = iota
	// DegradedRefuse returns [ErrUnavailable].
	DegradedRefuse
)

// EscrowOptions configure an [Escrow]. The zero value is good for up to four
// instances.
type EscrowOptions struct {
	// Instances is how many processes share the limits, each with an Escrow.
	// It is the divisor of the limits while the shared limiter is down, and of
	// what may lie reserved and unused. Too few admit more than N while it is
	// down. 0 means 4; negative is an error.
	Instances int
	// Block is the most cost that one round trip reserves. The first for a
	// subject reserves what the request costs, each further one up to twice
	// as much as the one before, as far as the subject's own demand will use
	// it up. 0 means 10; 1 asks for each request; negative is an error.
	Block int
	// Degraded says what happens while the shared limiter is down.
	Degraded Degraded
	// Timeout is how long one call of the shared limiter may take before it
	// counts as failed. 0 means 50 ms; negative is an error.
	Timeout time.Duration
	// Logger is told when the shared limiter stops answering and when it
	// answers again. nil means [slog.Default].
	Logger *slog.Logger
}

// Escrow is a [Limiter] over one that several processes share: it reserves small
// blocks there, and most decisions need no round trip. Each process has an
// Escrow of its own over the same shared counts. All methods are safe for
// concurrent use; one call at a time asks for a subject, in the goroutine of a
// caller, and the others wait for it as long as their contexts allow. It starts
// no goroutine and needs no Close. Idle subjects are let go inside Take.
//
// Never too much: in no interval of a window's length do all instances together
// admit more than N, for any arrivals, as long as the shared limiter answers.
// What is reserved is charged at once, and used only while the charge is sure to
// count for the whole window that follows the use ([Reserver]). The time for that
// runs from before the shared limiter was asked, by the monotonic clock, and is
// cut by a thousandth for clocks that drift. A machine that is suspended breaks
// it, by what it held.
//
// Hardly too little: what was reserved and not used in time is lost until it
// leaves its window. An instance lets that, and what it still holds, be at most
// N / (8 x Instances) of each window, rounded down: all together an eighth of
// N, and 4 of 60 a minute for four instances (which then hold one each, however
// large the block). Near the limit blocks shrink to single requests. What else
// may be lost is what requests were charged whose answers did not arrive or
// came too late for it. An Escrow that is dropped gives nothing back.
//
// A refusal is remembered until RetryAfter has passed, so those that follow with
// the same cost need no round trip. A change of limits forgets it, and lets go
// what was reserved under the old ones.
//
// The statuses are as of the last round trip for the subject: Remaining follows
// what this instance used since, Reset counts down, and what others did shows at
// the next.
//
// When the shared limiter fails it is left alone for a while, and asked again by
// one call at a time. Meanwhile, by default, each instance admits up to its share
// of each window, where what it admitted before counts. So, in any interval of a
// window's length:
//
//   - if all that was admitted in it was admitted without the shared limiter, it
//     is at most N;
//   - while no instance has found the way back, it is at most what each admitted
//     before or its share, whichever is more: N when the load was even, and below
//     2N whatever it was;
//   - otherwise it is at most N, and a share for each instance that was cut off:
//     the shared limiter never learns what was admitted without it.
//
// Where even that is too much there is [DegradedRefuse]. A request that costs
// more than the share, and any where the share is 0, gets [ErrUnavailable].
//
// Over a limiter that is no [Reserver] the windows are asked for one second
// longer, which keeps the guarantee at a price: a client at its limit gets N in W
// + 1 s. A subject with a window below a minute reserves nothing then. All users
// of these counts must go through an Escrow.
type Escrow struct {
	shared  Reserver
	own     *Window // what this instance admitted; nil where that is not needed
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

// NewEscrow returns a limiter over the shared one, which it does not close. The
// error names the field that is wrong.
func NewEscrow(shared Limiter, o EscrowOptions) (*Escrow, error) {
	switch {
	case shared == nil:
		return nil, invalidf("the shared limiter is nil")
	case o.Instances < 0:
		return nil, invalidf("EscrowOptions.Instances %d is negative", o.Instances)
	case o.Block < 0:
		return nil, invalidf("EscrowOptions.Block %d is negative", o.Block)
	case o.Degraded > DegradedRefuse:
		return nil, invalidf("EscrowOptions.Degraded %d is unknown", o.Degraded)
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
	if r, ok := shared.(Reserver); ok {
		e.shared = r
	} else {
		e.shared = widened{shared}
	}
	if o.Degraded == DegradedShare {
		var err error
		if e.own, err = New(Options{Logger: o.Logger}); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// now is in nanoseconds on the monotonic clock.
func (e *Escrow) now() int64 { return int64(time.Since(e.base)) }

// Take implements [Limiter]. It allocates nothing where it needs no round trip.
// An error wraps [ErrUnavailable] when the shared limiter does not answer and
// the share is no answer either, or when the context ended; what the shared
// limiter calls [ErrInvalid] or [ErrClosed] is returned as it is.
func (e *Escrow) Take(ctx context.Context, r Request) (d Decision, err error) {
	err = e.decide(ctx, &r, true, &d)
	return d, err
}

// Peek implements [Limiter]. It asks the shared limiter unless the answer is at
// hand.
func (e *Escrow) Peek(ctx context.Context, r Request) (d Decision, err error) {
	err = e.decide(ctx, &r, false, &d)
	return d, err
}
