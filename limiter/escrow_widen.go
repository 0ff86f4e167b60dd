package limiter

import (
	"context"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

const (
	// widening is added to each window for a Limiter that is not a Reserver, so
	// its charges may be held for that long.
	widening = time.Second
	// widenFrom is the shortest window for which widening is worthwhile.
	widenFrom = time.Minute
)

// widened turns any Limiter into a Reserver: it asks for windows that are
// longer by the time for which a charge is held. A charge at t counts until t +
// widening + W at least, which is a + W or later for every a up to t +
// widening.
//
// If not all windows of a subject can be widened, none ever is, because windows
// of another length would be other counts.
type widened struct{ Limiter }

// widen changes the demand to longer windows, with limits of its own. It
// reports false if it leaves the windows unchanged.
func widen(d *Demand) bool {
	limits := make([]Limit, len(d.Limits))
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
	first, second := widen(&r.Demand), widen(&r.Also)
	if d, err = w.Limiter.Take(ctx, r); err == nil && d.Allowed && first && second {
		life = widening
	}
	return d, life, err
}

func (w widened) Peek(ctx context.Context, r Request) (Decision, error) {
	widen(&r.Demand)
	widen(&r.Also)
	return w.Limiter.Peek(ctx, r)
}

// Take widens as well: a charge that is not held does not need a longer window,
// but it must be counted where the others are.
func (w widened) Take(ctx context.Context, r Request) (Decision, error) {
	d, _, err := w.Reserve(ctx, r)
	return d, err
}
