package limiter

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure a [Window]. The zero value is good: counts live in memory
// and start empty.
type Options struct {
	// Journal keeps the counts across restarts of the process. nil: they are
	// lost, and every subject starts anew.
	Journal Journal
	// Reserve is the most cost that one write to the journal covers in
	// advance, and with it the most that a crash can charge to a subject for
	// nothing. The first write for a subject covers 1, each further one twice
	// as much as the one before, up to an eighth of the subject's smallest N
	// and to Reserve. 0 means 64; 1 writes before each admission; negative is
	// an error. It has no meaning without a Journal.
	Reserve int
	// Logger receives what cannot be returned to a caller: records that
	// cannot be decoded, deletions that failed. nil means [slog.Default].
	Logger *slog.Logger
}

// Window is the in-process [Limiter]: exact sliding windows in memory. It
// starts no goroutine. Idle subjects are let go inside Take, so memory follows
// the subjects in use. A Take of a known subject allocates nothing.
//
// Use [New] to make one. Without a Journal it needs no Close.
type Window struct {
	// The clock: wall plus the monotonic time since base. The segments start
	// aligned to the wall clock, and a step of it while running changes
	// nothing.
	wall int64
	base time.Time

	seed    maphash.Seed
	hand    atomic.Uint32 // the shard swept last
	closed  atomic.Bool
	closing sync.Mutex

	journal Journal
	reserve int64
	log     *slog.Logger

	shards [shards]shard
}

var _ Limiter = (*Window)(nil)

// New returns a limiter with the options. The error names the field that is
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
	return &Window{
		wall:    base.UnixNano(),
		base:    base,
		seed:    maphash.MakeSeed(),
		journal: o.Journal,
		reserve: int64(o.Reserve),
		log:     o.Logger,
	}, nil
}

func (w *Window) now() int64 { return w.wall + int64(time.Since(w.base)) }

// Decide is [Window.Take] without copies: it answers into d, whatever stood
// there before. After an error *d is the zero Decision. Neither r nor d is kept,
// so a caller that has both on its stack allocates nothing.
func (w *Window) Decide(ctx context.Context, r *Request, d *Decision) error {
	return w.decide(ctx, r, true, d)
}

// Take implements [Limiter]. Only with a Journal does it do I/O, and only on
// the first use of a subject and when a reservation is used up: an error then
// wraps [ErrUnavailable] and the cause.
func (w *Window) Take(ctx context.Context, r Request) (d Decision, err error) {
	err = w.decide(ctx, &r, true, &d)
	return d, err
}

// Peek implements [Limiter]. With a Journal the first use of a subject reads
// its record.
func (w *Window) Peek(ctx context.Context, r Request) (d Decision, err error) {
	err = w.decide(ctx, &r, false, &d)
	return d, err
}

// decide answers into d.
func (w *Window) decide(ctx context.Context, r *Request, charge bool, d *Decision) error {
	*d = Decision{}
	cost, err := r.check()
	if err != nil {
		return err
	}
	var room [2]party
	n := 0
	for _, demand := range [...]*Demand{&r.Demand, &r.Also} {
		if len(demand.Limits) > 0 {
			w.place(&room[n], demand)
			n++
		}
	}
	p := room[:n]
	if n == 0 {
		d.Allowed = true
		return nil
	}

	lock(p)
	err = w.settle(ctx, p, cost, charge, d)
	due := false
	for i := range p {
		due = p[i].shard.tick() || due
	}
	unlock(p)
	if due {
		w.sweep(ctx)
	}
	return err
}

// settle decides the request and charges it. The parties' mutexes are held on
// entry and on return. They are let go while the journal works, and then all
// is looked up again: what stands between the last look-up and the charge is
// one critical section. The clock is read inside it, so that the instant of an
// admission lies between the call and its return however long the lock took.
func (w *Window) settle(ctx context.Context, p []party, cost int64, charge bool, d *Decision) error {
	for {
		if w.closed.Load() {
			return ErrClosed
		}
		now := w.now()
		if found, err := w.find(ctx, p, now, charge); err != nil {
			return err
		} else if !found {
			continue
		}

		// First every window is asked, then all are charged, or none.
		for i := range p {
			st := d.Windows[d.N:][:len(p[i].Limits)]
			d.N += len(st)
			d.RetryAfter = later(d.RetryAfter, p[i].bucket.check(cost, now, st))
		}
		d.Allowed = d.RetryAfter == 0
		if d.Allowed && charge {
			if covered, err := w.cover(ctx, p, cost, now); err != nil || !covered {
				*d = Decision{}
				if err != nil {
					return err
				}
				continue
			}
			for i := range p {
				p[i].bucket.charge(cost, len(p[i].Limits))
			}
		}
		rest := d.Windows[:d.N]
		for i := range p {
			p[i].bucket.report(now, rest[:len(p[i].Limits)])
			rest = rest[len(p[i].Limits):]
		}
		return nil
	}
}

// later returns the longer of two waits, where Never is the longest.
func later(a, b time.Duration) time.Duration {
	if a == Never || b == Never {
		return Never
	}
	return max(a, b)
}

// find looks the parties' buckets up, makes those that are missing and lays
// them out for the limits. It reports false when it had to let the mutexes go.
// Peek must leave no trace: it gets a copy where Take would change the layout.
func (w *Window) find(ctx context.Context, p []party, now int64, charge bool) (bool, error) {
	for i := range p {
		q := &p[i]
		limits := q.Limits
		b := q.known()
		if b != nil && b.fits(limits) && (b.lease == nil || b.lease.known) {
			q.bucket = b
			continue
		}
		if err := checkLimits(limits); err != nil {
			return false, err
		}
		if b == nil {
			b = newBucket(q.Subject)
			b.shard = uint8(q.index)
			if w.journal != nil {
				b.lease = new(lease)
			}
			if charge || w.journal != nil {
				q.shard.add(b)
				q.remember(b)
			}
		}
		q.bucket = b
		if l := b.lease; l != nil && !l.known {
			if l.busy() {
				return false, w.wait(ctx, p, l.io)
			}
			return false, w.load(ctx, p, i)
		}
		if b.fits(limits) {
			continue
		}
		if !charge {
			q.bucket = b.clone()
		}
		q.bucket.adopt(limits, now)
	}
	return true, nil
}
