package limiter_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/limiter/limitertest"
)

var errDown = errors.New("connection refused")

// shared is a Window behind a network.
type shared struct {
	*limiter.Window
	trips atomic.Int64
	out   atomic.Int64 // calls without an answer yet
	most  atomic.Int64 // ... at once
	down  atomic.Bool
	hang  atomic.Bool          // when down: no answer instead of an error
	delay func() time.Duration // of each way; nil: none
}

func newRemote(t testing.TB) *shared {
	return &shared{Window: newWindow(t, limiter.Options{})}
}

// decidedKey is of a *time.Time that is to hold the instant of the decision.
// cutKey is of a bool: the instance is cut off.
type (
	decidedKey struct{}
	cutKey     struct{}
)

func (s *shared) travel(ctx context.Context) error {
	if s.delay == nil {
		return nil
	}
	select {
	case <-time.After(s.delay()):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// over calls f over the network.
func (s *shared) over(ctx context.Context, f func() error) error {
	s.trips.Add(1)
	for n := s.out.Add(1); ; {
		if most := s.most.Load(); n <= most || s.most.CompareAndSwap(most, n) {
			break
		}
	}
	defer s.out.Add(-1)
	if err := s.travel(ctx); err != nil {
		return err
	}
	if cut, _ := ctx.Value(cutKey{}).(bool); cut || s.down.Load() {
		if s.hang.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		return errDown
	}
	if at, ok := ctx.Value(decidedKey{}).(*time.Time); ok {
		*at = time.Now()
	}
	if err := f(); err != nil {
		return err
	}
	return s.travel(ctx)
}

func (s *shared) Take(ctx context.Context, r limiter.Request) (d limiter.Decision, err error) {
	if err = s.over(ctx, func() (err error) { d, err = s.Window.Take(ctx, r); return err }); err != nil {
		return limiter.Decision{}, err
	}
	return d, nil
}

func (s *shared) Settle(ctx context.Context, r limiter.Request, was limiter.Decision, t limiter.Settlement) (d limiter.Decision, err error) {
	if err = s.over(ctx, func() (err error) { d, err = s.Window.Settle(ctx, r, was, t); return err }); err != nil {
		return limiter.Decision{}, err
	}
	return d, nil
}

func (s *shared) Peek(ctx context.Context, r limiter.Request) (d limiter.Decision, err error) {
	if err = s.over(ctx, func() (err error) { d, err = s.Window.Peek(ctx, r); return err }); err != nil {
		return limiter.Decision{}, err
	}
	return d, nil
}

// fleet is several instances over one shared limiter.
type fleet struct {
	*shared
	all   []*limiter.Shared
	start time.Time

	mu        sync.Mutex
	cut       [8]bool                      // instances
	hits      map[string][]limitertest.Hit // admitted, by subject
	by        [][]limitertest.Hit          // and by instance
	decisions int64
}

// newFleet makes n instances.
func newFleet(t testing.TB, n int, o limiter.SharedOptions) *fleet {
	f := makeFleet(t, n, o)
	f.start = time.Now().Truncate(time.Hour).Add(time.Hour)
	time.Sleep(time.Until(f.start))
	return f
}

// makeFleet starts at once, for real time.
func makeFleet(t testing.TB, n int, o limiter.SharedOptions) *fleet {
	f := &fleet{shared: newRemote(t), hits: map[string][]limitertest.Hit{}}
	f.by = make([][]limitertest.Hit, n)
	for range n {
		o.Instances = n
		f.all = append(f.all, newShared(t, f.shared, o))
	}
	return f
}

func (f *fleet) now() time.Duration { return time.Since(f.start) }

// take asks an instance and notes when it admitted: the instant of the decision,
// or now if there was no round trip.
func (f *fleet) take(t testing.TB, i int, r limiter.Request) (limiter.Decision, error) {
	var decided time.Time
	f.mu.Lock()
	ctx := context.WithValue(t.Context(), cutKey{}, f.cut[i])
	f.mu.Unlock()
	d, err := f.all[i].Take(context.WithValue(ctx, decidedKey{}, &decided), r)
	asked := 0
	for _, q := range r.Demands {
		asked += len(q.Limits)
	}
	if err == nil && d.N != asked {
		t.Errorf("a decision on %d windows has %d statuses: %v", asked, d.N, d)
	}
	at := f.now()
	if !decided.IsZero() {
		at = decided.Sub(f.start)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decisions++
	if err == nil && d.Allowed {
		hit := limitertest.Hit{At: at, Cost: max(r.Cost, 1)}
		f.by[i] = append(f.by[i], hit)
		for _, q := range r.Demands {
			if len(q.Limits) > 0 {
				f.hits[q.Subject] = append(f.hits[q.Subject], hit)
			}
		}
	}
	return d, err
}

// counted returns the cost admitted to the subject in the time before now.
func (f *fleet) counted(subject string, window time.Duration) (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hits, from := f.hits[subject], f.now()-window
	for i := len(hits) - 1; i >= 0 && hits[i].At > from-time.Second; i-- {
		if hits[i].At > from {
			n += hits[i].Cost
		}
	}
	return n
}

// cutOff takes an instance off the network, or back.
func (f *fleet) cutOff(i int, cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut[i] = cut
}

// check holds the admitted hits against the limits.
func (f *fleet) check(t testing.TB, subject string, limits ...apikey.Limit) {
	t.Helper()
	for _, l := range limits {
		if err := limitertest.Check(f.hits[subject], l); err != nil {
			t.Errorf("no interval of the window's length admits more than N, over all %d instances, to %q: %v", len(f.all), subject, err)
		}
	}
}

// poisson calls f at random instants, rate in a second, for that long.
func poisson(rng *rand.Rand, rate float64, long time.Duration, f func()) {
	for at := time.Duration(0); ; {
		wait := time.Duration(rng.ExpFloat64() / rate * float64(time.Second))
		if at += wait; at > long {
			return
		}
		time.Sleep(wait)
		f()
	}
}
