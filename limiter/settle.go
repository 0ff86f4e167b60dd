package limiter

import (
	"context"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
)

// Settler is an optional ability of a [Limiter]: to change what a request costs
// after it was admitted, and to be told that it is over. A caller that charges
// a request before it knows what it costs gives back or pays the difference.
type Settler interface {
	Limiter
	// Settle makes an admitted request cost what s says, over all limits of all
	// demands in one atomic step. r is the request at the cost that it has: what
	// Take was given, or what it was last settled at. d is what Take returned for
	// it: At, Slot and, if any limit is a shadow, Windows are used.
	//
	// The difference is given back or charged where the original charge counts: at
	// its time in a window, in its period of a quota, and nowhere if it does not
	// count there any more. What is charged above N is counted all the same, and
	// delays what comes next. As long as nothing is settled above what it was taken
	// at, all charges of an interval never add up to more than N.
	//
	// Settle never refuses, and the decision that it returns is an admission whose
	// statuses are those afterwards. After an error nobody knows whether the
	// request was settled; nothing else was charged or given back. A limiter that
	// wraps one which cannot settle returns [errors.ErrUnsupported]. Do not settle
	// a request concurrently with itself, nor once it is over.
	Settle(ctx context.Context, r Request, d Decision, s Settlement) (Decision, error)
}

// Settlement says what a request turned out to cost: in all, not in addition.
type Settlement struct {
	// Cost replaces Request.Cost. 0 gives all of it back.
	Cost int64
	// Amounts replace those of the request with the same units. A unit that is not
	// named keeps its amount; one that the request did not name is an error.
	Amounts []Amount
	// Over says that the request has ended: its slots are free.
	Over bool
}

var _ Settler = (*Window)(nil)

// Settle implements [Settler]. It does I/O where Take would. With a Journal,
// what was given back counts again after a crash, and only then.
func (w *Window) Settle(ctx context.Context, r Request, d Decision, s Settlement) (after Decision, err error) {
	if s.Cost < 0 {
		return Decision{}, invalidf("cost %d is negative", s.Cost)
	}
	err = w.decide(ctx, &r, deed{charge: true, settle: true, at: d.At, cost: s.Cost}, &after)
	return after, err
}

// deed is what to do about a request: nothing (Peek), charge it (Take), or
// settle it at another cost.
type deed struct {
	slot   *slot.Slot // of the first demand; may be nil
	charge bool
	settle bool
	at     int64 // when the request was charged
	cost   int64 // the cost that it should have
}

// adopts reports whether missing windows are made.
func (do *deed) adopts(cost int64) bool { return do.charge && (!do.settle || do.cost > cost) }

// resettle is the part of Take in Settle; the mutexes are held, and the windows
// know their counts. It reports false if it had to unlock the mutexes: then
// nothing was changed.
func (w *Window) resettle(ctx context.Context, p []party, was, now int64, do deed, d *Decision) (done bool, err error) {
	raise := do.cost > was
	d.Allowed = true
	for i := range p {
		d.Allowed = d.Allowed && (!raise || p[i].bucket.admits(p[i].Limits, do, was, now))
	}
	if raise && d.Allowed {
		if covered, err := w.cover(ctx, p, do.cost, now); !covered {
			*d = Decision{}
			return false, err
		}
	}
	back := was
	if !raise {
		back -= do.cost
	}
	for i := range p {
		b := p[i].bucket
		b.giveBack(p[i].Limits, do.at, back, now)
		if w.journal != nil {
			b.lease().over = true // its record counts more
		}
		if raise && d.Allowed {
			b.charge(do.cost, len(p[i].Limits))
		}
	}
	switch {
	case !raise && do.cost > 0:
		d.At = do.at
	case raise && d.Allowed:
		d.At = now
	}
	return true, nil
}

// admits reports whether the first windows have room for the deed's cost in
// place of what was charged.
func (b *bucket) admits(limits []apikey.Limit, do deed, was, now int64) bool {
	for i := range limits {
		r := b.ring(i)
		r.advance(b.cells, now)
		_, held := r.charged(b.cells, do.at, was)
		if do.cost-held > r.room() {
			return false
		}
	}
	return true
}

// giveBack takes up to cost of what was charged at a given time out of the
// windows of the limits, wherever they are.
func (b *bucket) giveBack(limits []apikey.Limit, at, cost, now int64) {
	for i := range limits {
		if j := b.find(limits[i].Window); j >= 0 {
			r := b.ring(j)
			r.advance(b.cells, now)
			r.giveBack(b.cells, at, cost)
		}
	}
}

// charged returns how much of a cost that was charged at a given time the ring
// still counts, and the age of its segment. It never returns more than is
// there: hits that another layout dated differently stay, which admits less.
func (r *ring) charged(cells []byte, at, cost int64) (age int, n int64) {
	k, s := r.shape()
	newest := r.edge/s - 1
	if segment := at / s; segment <= newest && newest-segment <= int64(k) {
		age = int(newest - segment)
		return age, min(cost, int64(r.at(cells, age)))
	}
	return 0, 0
}

// giveBack undoes add for a charge made at a given time.
func (r *ring) giveBack(cells []byte, at, cost int64) {
	age, n := r.charged(cells, at, cost)
	if n == 0 {
		return
	}
	r.total -= uint32(n)
	if age == 0 {
		r.newest -= uint32(n)
	} else {
		slot := r.slot(age)
		r.set(cells, slot, r.get(cells, slot)-uint32(n))
	}
	for r.age > 0 && r.at(cells, int(r.age)) == 0 {
		r.age--
	}
}
