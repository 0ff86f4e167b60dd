package limiter

import (
	"context"
	"time"
)

// Reserver is an optional ability of a [Limiter] that lets [Escrow] use it
// without loss. Windows of segments have it: all hits of a segment leave
// together, so a hit at its end counts exactly the window, and one at its start
// a whole segment more.
type Reserver interface {
	Limiter
	// Reserve is Take, and also reports how long the charge may be held before it
	// is used. If the request was allowed, then for each time a before life has
	// passed since the call began, the charge counts in each window of the request
	// until a plus the window's length at least. 0 is always right. The life of a
	// refused request is 0.
	Reserve(ctx context.Context, r Request) (d Decision, life time.Duration, err error)
}

var _ Reserver = (*Window)(nil)

// Reserve implements [Reserver]: the life is what was left of the current
// segment, in the window whose segment ends first.
func (w *Window) Reserve(ctx context.Context, r Request) (d Decision, life time.Duration, err error) {
	asked := w.now()
	if err = w.decide(ctx, &r, deed{charge: true}, &d); err != nil || !d.Allowed {
		return d, 0, err
	}
	// If a segment has ended since, or the clock was behind it, the hit is in a
	// later segment than this and counts even longer.
	for _, limits := range [][]Limit{r.Limits, r.Also.Limits} {
		for i := range limits {
			shape := newRing(limits[i].Window, asked)
			if left := time.Duration(shape.edge - asked); life == 0 || left < life {
				life = left
			}
		}
	}
	return d, life, nil
}
