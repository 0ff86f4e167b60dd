package limiter_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// failing is a Window that can be made to fail.
type failing struct {
	*limiter.Window
	err error
}

func (f *failing) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	if f.err != nil {
		return limiter.Decision{}, f.err
	}
	return f.Window.Take(ctx, r)
}

func (f *failing) Settle(ctx context.Context, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	if f.err != nil {
		return limiter.Decision{}, f.err
	}
	return f.Window.Settle(ctx, r, d, s)
}

// What is refused is remembered, also for a pair of subjects, until something is
// given back.
func TestSharedForgetsRefusalsWhenSomethingIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newShared(t, newWindow(t, limiter.Options{}), limiter.SharedOptions{Logger: quiet})
		pair := func(key string) limiter.Request {
			r := ask(key, minute)
			r.Demands = append(r.Demands, limiter.Demand{Subject: "owner", Limits: []apikey.Limit{minute}})
			return r
		}
		r := pair("a")
		r.Cost = 60
		all := mustTake(t, e, r)
		if d := mustTake(t, e, pair("a")); d.Allowed {
			t.Fatalf("61 of 60: %v", d)
		}
		if d := mustTake(t, e, pair("b")); d.Allowed {
			t.Fatalf("61 of the owner's 60: %v", d)
		}
		d, err := e.Settle(t.Context(), r, all, limiter.Settlement{Cost: 30})
		if err != nil || d.Windows[0].Remaining != 30 || d.Windows[1].Remaining != 30 {
			t.Fatalf("giving 30 back: %v, %v", d, err)
		}
		for _, key := range []string{"a", "b"} {
			if d := mustTake(t, e, pair(key)); !d.Allowed {
				t.Errorf("a refusal of %q is remembered though 30 were given back: %v", key, d)
			}
		}
	})
}

// What an instance admitted without the shared limiter is given back to its own
// share, also when the shared one is back; what it admitted with it is not given
// back to the share.
func TestSharedSettlesWhatItAdmittedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &failing{Window: newWindow(t, limiter.Options{})}
		e := newShared(t, shared, limiter.SharedOptions{Instances: 2, Logger: quiet})
		r := ask("k", minute)
		shared.err = errors.New("down")
		r.Cost = 30
		alone := mustTake(t, e, r)
		if d := mustTake(t, e, ask("k", minute)); !alone.Allowed || d.Allowed {
			t.Fatalf("the share of 60 is 30: %v, %v", alone, d)
		}
		shared.err = nil
		if d, err := e.Settle(t.Context(), r, alone, limiter.Settlement{Cost: 10}); err != nil || !d.Allowed || d.Windows[0].Remaining != 20 {
			t.Errorf("giving back to the share: %v, %v", d, err)
		}
		if d, err := shared.Peek(t.Context(), ask("k", minute)); err != nil || d.Windows[0].Remaining != 60 {
			t.Errorf("what the shared limiter was not charged is not given back there: %v, %v", d, err)
		}
	})
}

func TestSharedOverOneThatCannotSettleSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newShared(t, plain{newWindow(t, limiter.Options{})}, limiter.SharedOptions{Logger: quiet})
		r := ask("k", minute)
		if _, err := e.Settle(t.Context(), r, mustTake(t, e, r), limiter.Settlement{}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v, want ErrUnsupported", err)
		}
	})
}

// When the shared limiter does not answer, nobody knows, and nothing else is
// given back.
func TestSharedSettleFailsWithTheSharedLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &failing{Window: newWindow(t, limiter.Options{})}
		e := newShared(t, shared, limiter.SharedOptions{Logger: quiet})
		r := ask("k", minute)
		d := mustTake(t, e, r)
		shared.err = errors.New("down")
		for range 3 {
			if _, err := e.Settle(t.Context(), r, d, limiter.Settlement{}); !errors.Is(err, limiter.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
		}
	})
}

// A limiter that several processes share renews the slots of its process until
// it hears that a request is over, so it hears of that also while it is left alone.
func TestSharedTellsThatARequestIsOverWhateverHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &failing{Window: newWindow(t, limiter.Options{})}
		e := newShared(t, shared, limiter.SharedOptions{Logger: quiet})
		r := ask("k", apikey.Limit{Name: "two", N: 2, Concurrent: true}, minute)
		first, second := mustTake(t, e, r), mustTake(t, e, r)
		shared.err = errors.New("down")
		_, _ = e.Take(t.Context(), r)
		shared.err = nil
		if e.Degraded() == nil {
			t.Fatal("the shared limiter is not left alone")
		}
		if _, err := e.Settle(t.Context(), r, first, limiter.Settlement{Cost: 1, Over: true}); err != nil {
			t.Errorf("while it is left alone: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.Settle(ended, r, second, limiter.Settlement{Cost: 1, Over: true}); err != nil {
			t.Errorf("with a context that has ended: %v", err)
		}
		if d, err := shared.Peek(t.Context(), r); err != nil || d.Windows[0].Remaining != 2 {
			t.Errorf("requests that are over are in progress: %v, %v", d, err)
		}
	})
}

// A request that was admitted by a share stays one when its cost is raised above
// the share, and is over when it is over.
func TestSharedSettlesAboveItsShareMoreThanOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &failing{Window: newWindow(t, limiter.Options{}), err: errors.New("down")}
		e := newShared(t, shared, limiter.SharedOptions{Instances: 2, Logger: quiet})
		two := apikey.Limit{Name: "two", N: 2, Concurrent: true}
		r := ask("k", two, minute)
		alone := mustTake(t, e, r)
		d, err := e.Settle(t.Context(), r, alone, limiter.Settlement{Cost: 40})
		if err != nil {
			t.Fatal(err)
		}
		r.Cost = 40
		if _, err := e.Settle(t.Context(), r, d, limiter.Settlement{Cost: 1, Over: true}); err != nil {
			t.Error(err)
		}
		if d := mustTake(t, e, ask("k", two, minute)); !d.Allowed || d.Windows[1].Remaining != 28 {
			t.Errorf("after a request that is over and cost 1: %v", d)
		}
	})
}
