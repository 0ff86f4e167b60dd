package limiter

import (
	"context"
	"time"
)

// reserver is a limiter that [Escrow] can use without loss. Windows of segments
// can be: all hits of a segment leave together, so a hit at its end counts
// exactly the window, and one at its start a whole segment more.
type reserver interface {
	Limiter
	// Reserve is described at NewEscrow.
	Reserve(ctx context.Context, r Request) (d Decision, life time.Duration, err error)
}

var _ reserver = (*Window)(nil)

// Reserve is what [NewEscrow] looks for: the life is what was left of the
// current segment, in the window whose segment ends first. In a window that keeps
// instants it is zero.
func (w *Window) Reserve(ctx context.Context, r Request) (d Decision, life time.Duration, err error) {
	asked := w.now()
	if err = w.decide(ctx, &r, nil, deed{charge: true}, &d); err != nil || !d.Allowed {
		return d, 0, err
	}
	// If a segment has ended since, or the clock was behind it, the hit is in a
	// later segment than this and counts even longer.
	life = forAges
	for _, q := range r.Demands {
		for i := range q.Limits {
			s := newShape(&q.Limits[i])
			c := newCount(&s, asked)
			if life = min(life, time.Duration(c.edge-asked)); s.kind == pairs || s.kind == slots {
				life = 0
			}
		}
	}
	return d, life, nil
}
