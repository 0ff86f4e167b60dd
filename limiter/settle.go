package limiter

import (
	"context"

	"github.com/wontopos/latchkey/apikey"
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
	// delays what comes next. As long as no settlement raises a cost, all charges of
	// an interval never add up to more than N.
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
	// Cost replaces Request.Cost. 0 gives all of it back. As a Request cannot say
	// that it costs nothing, it is not settled again after that.
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
	if err := s.Validate(r); err != nil {
		return after, err
	}
	err = w.decide(ctx, &r, nil, deed{settle: &s, taken: &d}, &after)
	return after, err
}

// settleLocked is the part of decideLocked in Settle. What counts a limit is
// changed in the way in which it counts by now.
func (w *Window) settleLocked(ctx context.Context, p []party, r *Request, do deed, now int64, d *Decision) (done bool, err error) {
	if err := w.layOut(p, now, false); err != nil { // says what is wrong
		return false, err
	}
	by, charged := do.differences(p, r)
	var more charges
	raise := false
	for n, difference := range by {
		more[n] = max(difference, 0)
		raise = raise || difference > 0
	}
	for i := range p {
		if err := w.places(&p[i], more[first(p, i):], now); err != nil {
			return false, err
		}
	}
	if raise {
		if covered, err := w.cover(ctx, p, &more, now); !covered {
			return false, err
		}
	}
	n := 0
	for i := range p {
		b := p[i].bucket
		for j := range p[i].Limits {
			limit, at := &p[i].Limits[j], int(p[i].at[j])
			switch {
			case !charged[n] || at == nowhere:
			case !limit.Concurrent:
				b.ledger(at).settle(now, do.taken.At, by[n], limit.N)
			case do.settle.Over && do.taken.Slot != 0:
				b.ledger(at).leave(do.taken.Slot)
			}
			n++
		}
	}
	d.Allowed, d.At = true, do.taken.At
	if !do.settle.Over {
		d.Slot = do.taken.Slot
	}
	for n := range d.Windows { // shadows
		d.Windows[n].Violated = do.taken.Windows[n].Violated
	}
	return true, w.layOut(p, now, false)
}

// nowhere is the index of a limit that counts nothing.
const nowhere = 255

// places finds what the limits of a party count, in whatever way. It makes what
// is missing only where something is charged in addition.
func (w *Window) places(q *party, more []int64, now int64) error {
	var missing []apikey.Limit
	for again := true; again; {
		again = false
		for j := range q.Limits {
			at := q.bucket.previous(&q.Limits[j], 0)
			if q.at[j] = uint8(at); at < 0 {
				q.at[j] = nowhere
			}
			if more[j] > 0 && (at < 0 || !q.bucket.layout.shapes[at].fits(&q.Limits[j]) && q.bucket.ledger(at).empty(now)) {
				missing, again = append(missing, q.Limits[j]), true
			}
		}
		if again {
			if err := q.bucket.adopt(&w.layouts, missing, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// differences returns by how much the charges change, and which limits were
// charged at all: shadows are together or not at all.
func (do *deed) differences(p []party, r *Request) (by charges, charged [MaxWindows]bool) {
	shadows, n := true, 0
	for i := range p {
		for j := range p[i].Limits {
			limit := &p[i].Limits[j]
			by[n], charged[n] = do.settle.difference(r, limit), true
			if limit.Shadow || r.Shadow {
				shadows = shadows && !do.taken.Windows[n].Violated
			}
			n++
		}
	}
	if shadows {
		return by, charged
	}
	n = 0
	for i := range p {
		for j := range p[i].Limits {
			if p[i].Limits[j].Shadow || r.Shadow {
				by[n], charged[n] = 0, false
			}
			n++
		}
	}
	return by, charged
}
