package limiter_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/limiter/limitertest"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// between returns the hits with from <= At < to.
func between(hits []limitertest.Hit, from, to time.Duration) (in []limitertest.Hit) {
	for _, h := range hits {
		if h.At >= from && h.At < to {
			in = append(in, h)
		}
	}
	return in
}

func total(hits []limitertest.Hit) (n int64) {
	for _, h := range hits {
		n += h.Cost
	}
	return n
}

// outage uses two thirds of the limit in four instances, with the shares of the
// load given, and overruns it from the second minute to the fifth, while the
// network of the first gone instances is down until the end of the third.
func outage(t *testing.T, limit apikey.Limit, gone int, load [4]float64, hang bool) *fleet {
	f := newFleet(t, 4, limiter.SharedOptions{Logger: quiet})
	f.hang.Store(hang)
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, cut := range []bool{true, false} {
			time.Sleep(time.Minute)
			if !cut {
				time.Sleep(time.Minute)
			}
			for i := range gone {
				f.cutOff(i, cut)
			}
		}
	})
	for i := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(i)))
			rate := load[i] * float64(limit.N) / 60
			take := func() {
				r := ask("k", limit)
				r.Cost = 1 + rng.Int64N(3)/2
				if _, err := f.take(t, i, r); err != nil {
					t.Errorf("Take: %v", err)
				}
			}
			poisson(rng, rate/2, time.Minute, take)
			poisson(rng, 3*rate, 4*time.Minute, take)
		})
	}
	wg.Wait()
	return f
}

func TestSharedOutageOfAll(t *testing.T) {
	const from, to = time.Minute, 3 * time.Minute
	limit := apikey.PerMinute(600)
	for name, load := range map[string][4]float64{
		"even":   {0.25, 0.25, 0.25, 0.25},
		"uneven": {0.85, 0.05, 0.05, 0.05},
	} {
		for _, hang := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f := outage(t, limit, 4, load, hang)
				all := f.hits["k"]
				during, _ := limitertest.Worst(between(all, from+50*time.Millisecond, to), limit.Window)
				if during > limit.N || during < limit.N/3 {
					t.Errorf("%s: without the shared limiter all instances together admit at most N, and something: %d of %d", name, during, limit.N)
				}
				// On the way in an instance admits what it had, or its share.
				for start := time.Duration(0); start+limit.Window <= to; start += 100 * time.Millisecond {
					most, got := int64(0), total(between(all, start, start+limit.Window))
					for _, by := range f.by {
						most += max(total(between(by, start, min(start+limit.Window, from+50*time.Millisecond))), limit.N/4)
					}
					if got > max(most, limit.N) {
						t.Fatalf("%s: on the way in %d were admitted in a minute from %v, want at most %d", name, got, start, most)
					}
				}
				before, _ := limitertest.Worst(between(all, 0, to), limit.Window)
				over, _ := limitertest.Worst(all, limit.Window)
				if name == "even" && before > limit.N*105/100 {
					t.Errorf("an even load admits about N on the way in: %d", before)
				}
				if over > 2*limit.N {
					t.Errorf("%s: with the way back at most N and a share each: %d", name, over)
				}
				if err := limitertest.Check(between(all, to+66*time.Second, time.Hour), limit); err != nil {
					t.Errorf("%s: a window after the way back: %v", name, err)
				}
				late := total(between(all, 4*time.Minute, 5*time.Minute))
				if late < limit.N*9/10 {
					t.Errorf("%s: all instances found the way back: %d of %d are admitted in the last minute", name, late, limit.N)
				}
				t.Logf("%s, hang %t: worst minute %d until the way back, %d during, %d over all of N = %d", name, hang, before, during, over, limit.N)
			})
		}
	}
}

// An instance that is cut off adds its share to what the others admit.
func TestSharedPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := apikey.PerMinute(600)
		f := outage(t, limit, 1, [4]float64{0.25, 0.25, 0.25, 0.25}, true)
		over, at := limitertest.Worst(f.hits["k"], limit.Window)
		if over > limit.N+limit.N/4 {
			t.Errorf("one of four instances cut off adds at most its share: %d of %d in a minute from %v", over, limit.N, at)
		}
		if alone, _ := limitertest.Worst(between(f.by[0], 61*time.Second, 3*time.Minute), limit.Window); alone > limit.N/4 || alone < limit.N/5 {
			t.Errorf("an instance that is cut off admits its share of %d: %d", limit.N/4, alone)
		}
		t.Logf("worst minute %d of N = %d", over, limit.N)
	})
}

func TestSharedLeavesAFailedLimiterAlone(t *testing.T) {
	for _, hang := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 4, limiter.SharedOptions{Logger: quiet})
			f.down.Store(true)
			f.hang.Store(hang)
			limit := apikey.PerMinute(60)
			run := func(long time.Duration) (trips int64) {
				before := f.trips.Load()
				var wg sync.WaitGroup
				for i := range 4 {
					for g := range 3 {
						wg.Go(func() {
							for from := f.now(); f.now() < from+long; time.Sleep(50 * time.Millisecond) {
								start := f.now()
								f.take(t, i, ask(string(rune('a'+g)), limit))
								if took := f.now() - start; took > 50*time.Millisecond {
									t.Errorf("a call takes no longer than the timeout: %v", took)
								}
							}
						})
					}
				}
				wg.Wait()
				return f.trips.Load() - before
			}
			run(time.Second)
			f.most.Store(0)
			if n := run(5 * time.Minute); n > 4*140 || n < 4*50 {
				t.Errorf("a shared limiter that is down is asked every few seconds by each instance: %d times in five minutes by four", n)
			}
			if n := f.most.Load(); n > 4 {
				t.Errorf("no herd comes when it is back: %d calls at once by four instances", n)
			}
			f.down.Store(false)
			at := f.now()
			run(5 * time.Second)
			for i, e := range f.all {
				before := f.trips.Load()
				if _, err := e.Take(t.Context(), ask("new", limit)); err != nil || f.trips.Load() == before {
					t.Errorf("instance %d does not ask %v after the end of the outage: %v", i, f.now()-at, err)
				}
			}
		})
	}
}

func TestSharedErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 4, limiter.SharedOptions{Logger: quiet})
		e := f.all[0]

		// A caller that gives up says nothing about the shared limiter.
		f.delay = func() time.Duration { return 20 * time.Millisecond }
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if d, err := e.Take(ctx, ask("k", minute)); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, limiter.ErrUnavailable) || d != (limiter.Decision{}) {
			t.Errorf("a context that ends is an error: got %v, %v", d, err)
		}
		before := f.trips.Load()
		if d := mustTake(t, e, ask("k", minute)); !d.Allowed || d.Windows[0].Remaining != 59 || f.trips.Load() == before {
			t.Errorf("a context that ended is not a failure of the shared limiter: got %v", d)
		}
		f.delay = nil

		f.down.Store(true)
		for _, c := range []struct {
			name string
			n    int64
			cost int64
			want bool
		}{{"share", 60, 15, true}, {"above the share", 60, 16, false}, {"no share", 3, 1, false}} {
			r := ask(c.name, apikey.PerMinute(c.n))
			r.Cost = c.cost
			d, err := e.Take(t.Context(), r)
			if c.want && (err != nil || !d.Allowed) || !c.want && (!errors.Is(err, limiter.ErrUnavailable) || !errors.Is(err, errDown) || d != (limiter.Decision{})) {
				t.Errorf("%s: cost %d of %d gets %v, %v", c.name, c.cost, c.n, d, err)
			}
		}
		strict := newShared(t, f.shared, limiter.SharedOptions{Strict: true, Logger: quiet})
		for range 3 {
			if d, err := strict.Take(t.Context(), ask("k", minute)); !errors.Is(err, limiter.ErrUnavailable) || !errors.Is(err, errDown) || d != (limiter.Decision{}) {
				t.Errorf("Strict: got %v, %v", d, err)
			}
		}
		f.down.Store(false)
		time.Sleep(time.Minute)
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Take(t.Context(), ask("k", minute)); !errors.Is(err, limiter.ErrClosed) {
			t.Errorf("what the shared limiter is closed for is no outage: got %v", err)
		}
	})
}

// panicking fails, then panics, and then works.
type panicking struct {
	limiter.Limiter
	calls int
}

func (p *panicking) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	switch p.calls++; p.calls {
	case 1:
		return limiter.Decision{}, errDown
	case 2:
		panic("driver bug")
	}
	return p.Limiter.Take(ctx, r)
}

func TestSharedAsksAgainAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &panicking{Limiter: newWindow(t, limiter.Options{})}
		s := newShared(t, p, limiter.SharedOptions{Logger: quiet})
		mustTake(t, s, ask("k", minute))
		time.Sleep(time.Second)
		func() {
			defer func() { recover() }()
			s.Take(t.Context(), ask("k", minute))
			t.Error("the panic was swallowed")
		}()
		time.Sleep(time.Second)
		if mustTake(t, s, ask("k", minute)); p.calls != 3 || s.Degraded() != nil {
			t.Errorf("after a panic: %d calls, %v", p.calls, s.Degraded())
		}
	})
}

// TestSharedTellsThatItIsDegraded: from the first failure of the shared limiter to the first answer after it.
func TestSharedTellsThatItIsDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 4, limiter.SharedOptions{Logger: quiet})
		e := f.all[0]
		mustTake(t, e, ask("k", minute))
		if err := e.Degraded(); err != nil {
			t.Errorf("while the shared limiter answers: %v", err)
		}
		f.down.Store(true)
		mustTake(t, e, ask("other", minute))
		if err := e.Degraded(); !errors.Is(err, errDown) {
			t.Errorf("while it does not: %v", err)
		}
		f.down.Store(false)
		if err := e.Degraded(); !errors.Is(err, errDown) {
			t.Errorf("before it was asked again: %v", err)
		}
		time.Sleep(time.Minute)
		mustTake(t, e, ask("third", minute))
		if err := e.Degraded(); err != nil {
			t.Errorf("once it answers again: %v", err)
		}
	})
}
