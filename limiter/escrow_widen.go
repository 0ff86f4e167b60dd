package limiter

import (
	"context"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

const (
	// widening is added to each window for a Limiter that is not a reserver, so
	// its charges may be held for that long.
	widening = time.Second
	// widenFrom is the shortest window for which widening is worthwhile.
	widenFrom = time.Minute
)

// widened turns any Limiter into a reserver: it asks for windows that are
// longer by the time for which a charge is held. A charge at t counts until t +
// widening + W at least, which is a + W or later for every a up to t +
// widening.
//
// If not all windows of a subject can be widened, none ever is, because windows
// of another length would be other counts.
type widened struct{ Limiter }

// widen changes the demands to longer windows, in memory of their own. It
// reports false if it leaves the windows of one of them unchanged.
func widen(r *Request) bool {
	all := true
	r.Demands = slices.Clone(r.Demands)
	for i := range r.Demands {
		all = r.Demands[i].widen() && all
	}
	return all
}

func (d *Demand) widen() bool {
	limits := make([]apikey.Limit, len(d.Limits))
	for i, l := range d.Limits {
		if l.Window < widenFrom || l.Window > apikey.MaxLimitWindow-widening {
			return false
		}
		l.Window += widening
		limits[i] = l
	}
	d.Limits = limits
	return true
}

func (w widened) Reserve(ctx context.Context, r Request) (d Decision, life time.Duration, err error) {
	all := widen(&r)
	if d, err = w.Limiter.Take(ctx, r); err == nil && d.Allowed && all {
		life = widening
	}
	return d, life, err
}

func (w widened) Peek(ctx context.Context, r Request) (Decision, error) {
	widen(&r)
	return w.Limiter.Peek(ctx, r)
}

// Take widens as well: a charge that is not held does not need a longer window,
// but it must be counted where the others are.
func (w widened) Take(ctx context.Context, r Request) (Decision, error) {
	d, _, err := w.Reserve(ctx, r)
	return d, err
}
