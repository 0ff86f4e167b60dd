package latchkeytest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// fakeTB is a test that is not run by go test: what it is told is kept.
type fakeTB struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
	failures []string
}

// run runs a test to its end, as go test does, and returns its failures.
func run(test func(t testing.TB)) (failures []string) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &fakeTB{ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			cancel()
			for _, end := range slices.Backward(f.cleanups) {
				end()
			}
		}()
		test(f)
	}()
	<-done
	return f.failures
}

func (f *fakeTB) Helper()                  {}
func (f *fakeTB) Context() context.Context { return f.ctx }
func (f *fakeTB) Cleanup(end func())       { f.cleanups = append(f.cleanups, end) }

func (f *fakeTB) Errorf(format string, args ...any) {
	f.failures = append(f.failures, fmt.Sprintf(format, args...))
}

func (f *fakeTB) Fatal(args ...any) { f.Fatalf("%s", fmt.Sprint(args...)) }

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// generous is a limiter that admits everything, and failing is one that never
// decides.
type (
	generous struct{}
	failing  struct{}
)

func (generous) Peek(_ context.Context, q limiter.Request) (d limiter.Decision, _ error) {
	d.Allowed = true
	for _, l := range q.Demands[0].Limits {
		d.Windows[d.N].Remaining = l.N
		d.N++
	}
	return d, nil
}

func (g generous) Take(ctx context.Context, q limiter.Request) (limiter.Decision, error) {
	return g.Peek(ctx, q)
}

func (failing) Peek(context.Context, limiter.Request) (limiter.Decision, error) {
	return limiter.Decision{}, errors.New("down")
}

func (f failing) Take(ctx context.Context, q limiter.Request) (limiter.Decision, error) {
	return f.Peek(ctx, q)
}

// leavingPlans panic when a key is used, and not yet when it is created.
type leavingPlans struct{ asked atomic.Int32 }

func (p *leavingPlans) Plan(context.Context, string) (apikey.Plan, error) {
	if p.asked.Add(1) > 1 {
		panic("no plans any more")
	}
	return apikey.Plan{Name: "free", Limits: []apikey.Limit{apikey.PerMinute(1)}}, nil
}
