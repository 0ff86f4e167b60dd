package limiter

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/internal/slot"
)

// Options configure a [Window]. The zero value is ready to use: counts are kept
// in memory and start empty.
type Options struct {
	// Journal keeps the counts across restarts of the process. If nil, they are
	// lost, and every subject starts from zero.
	Journal Journal
	// Reserve is the most cost that one write to the journal covers in advance,
	// and so the most that a crash can charge to a limit without a use, unless one
	// request costs more. The first write for a subject covers 1, each further one
	// twice as much as the one before, up to Reserve and to an eighth of the
	// smallest N of the limits on requests; for a limit with a unit, to an eighth
	// of its own. 0 means 64; 1 writes before each admission; negative is an
	// error. It has no effect without a Journal.
	Reserve int
	// Logger receives what cannot be returned to a caller: records that
	// cannot be decoded, deletions that failed. nil means [slog.Default].
	Logger *slog.Logger
}

// Window is the in-process [Limiter]: exact limits of all kinds, in memory. It
// starts no goroutine. Idle subjects are removed inside Take, so memory follows
// the subjects in use. A Take of a known subject allocates nothing, but where a
// count needs more room than before.
//
// Use [New] to make one. Without a Journal it needs no Close.
type Window struct {
	// The clock: wall plus the monotonic time since base. Segments and periods are
	// those of the wall clock at the start; a clock step while running changes
	// nothing.
	wall int64
	base time.Time

	seed    maphash.Seed
	closed  atomic.Bool
	closing chan struct{} // holds a token while a Close writes

	journal Journal
	reserve int64
	log     *slog.Logger

	shards  [shards]shard
	layouts layouts
	tickets atomic.Uint64 // the newest Decision.Slot

	hand atomic.Uint32 // the shard swept last; kept apart from what every call reads
}

var _ Limiter = (*Window)(nil)

// New returns a limiter with the options. An error names the field that is
// wrong.
func New(o Options) (*Window, error) {
	if o.Reserve < 0 {
		return nil, invalidf("Options.Reserve %d is negative", o.Reserve)
	}
	if o.Reserve == 0 {
		o.Reserve = 64
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	base := time.Now()
	w := &Window{
		wall:    base.UnixNano(),
		base:    base,
		seed:    maphash.MakeSeed(),
		journal: o.Journal,
		reserve: int64(o.Reserve),
		log:     o.Logger,
		closing: make(chan struct{}, 1),
	}
	w.tickets.Store(uint64(w.wall)) // none of an earlier process
	return w, nil
}

func (w *Window) now() int64 { return w.wall + int64(time.Since(w.base)) }

// Decide is [Window.Take] without copies: it stores its answer in d,
// overwriting whatever was there. After an error *d is the zero Decision. None
// of the arguments is kept, so a caller that has all of them on its stack, the
// demands included, allocates nothing. The slot is for package middleware, and
// saves it the look-up of the first demand's subject; others pass nil.
func (w *Window) Decide(ctx context.Context, r *Request, first *slot.Slot, d *Decision) error {
	*d = Decision{}
	return w.take(ctx, r, first, false, d)
}

// DecideFixed is [Window.Decide] for a caller that never changes the limits of
// the first demand in place, nor uses their memory for others: where their
// address is that of the last request, they need not be compared with what the
// subject counts. *d must be the zero Decision.
func (w *Window) DecideFixed(ctx context.Context, r *Request, first *slot.Slot, d *Decision) error {
	return w.take(ctx, r, first, true, d)
}

// Take implements [Limiter]. It does I/O only with a Journal, on the first use
// of a subject and when a reservation is used up: an error then wraps
// [ErrUnavailable] and the cause.
func (w *Window) Take(ctx context.Context, r Request) (d Decision, err error) {
	err = w.take(ctx, &r, nil, false, &d)
	return d, err
}

// Peek implements [Limiter]. With a Journal the first use of a subject reads
// its record.
func (w *Window) Peek(ctx context.Context, r Request) (d Decision, err error) {
	err = w.decide(ctx, &r, nil, deed{}, &d)
	return d, err
}
