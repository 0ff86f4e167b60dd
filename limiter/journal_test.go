package limiter_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

var (
	minute = apikey.Limit{Name: "minute", N: 60, Window: time.Minute}
	day    = apikey.Limit{Name: "day", N: 1000, Window: 24 * time.Hour}
)

func TestReservationCoversSeveralHits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			n       int64
			reserve int
			saves   int // for 56 hits
		}{{56, 0, 10}, {8, 0, 8}, {10_000, 0, 6}, {10_000, 10, 9}, {10_000, 1, 56}} {
			j := newJournal()
			w := newWindow(t, limiter.Options{Journal: j, Reserve: c.reserve})
			l := apikey.Limit{Name: "day", N: c.n, Window: 24 * time.Hour}
			for range min(56, c.n) {
				mustTake(t, w, ask("k", l))
			}
			if j.saves != c.saves {
				t.Errorf("a write covers twice as much as the one before, up to an eighth of N and Reserve: N %d, Reserve %d: %d writes, want %d", c.n, c.reserve, j.saves, c.saves)
			}
			saves := j.saves
			for range 100 {
				mustTake(t, w, ask("dry", apikey.Limit{Name: "day", N: 1, Window: 24 * time.Hour}))
				if _, err := w.Peek(t.Context(), ask("k", l)); err != nil {
					t.Fatal(err)
				}
			}
			if j.saves != saves+1 || j.loads != 2 {
				t.Errorf("refusals and peeks do no I/O: %d writes and %d reads, want 1 and 2", j.saves-saves, j.loads)
			}
		}
	})
}

func TestJournalErrorsChargeNothing(t *testing.T) {
	broken := errors.New("disk full")
	j := newJournal()
	w := newWindow(t, limiter.Options{Journal: j, Reserve: 3})
	r := ask("k", minute)
	r.Cost = 2
	r.Demands = append(r.Demands, limiter.Demand{Subject: "o", Limits: []apikey.Limit{minute}})

	j.fail = broken // the first use reads
	for range 3 {
		if d, err := w.Take(t.Context(), r); !errors.Is(err, limiter.ErrUnavailable) || !errors.Is(err, broken) || d != (limiter.Decision{}) {
			t.Fatalf("a journal that cannot be read is an error: got %+v, %v", d, err)
		}
	}
	j.fail = nil
	for range 3 {
		mustTake(t, w, r) // the last one leaves one reserved
	}
	j.fail = broken // later ones write
	for range 3 {
		if d, err := w.Take(t.Context(), r); !errors.Is(err, limiter.ErrUnavailable) || !errors.Is(err, broken) || d != (limiter.Decision{}) {
			t.Fatalf("a journal that cannot be written is an error: got %+v, %v", d, err)
		}
	}
	if d, err := w.Peek(t.Context(), r); err != nil || d.Windows[0].Remaining != 54 || d.Windows[1].Remaining != 54 {
		t.Errorf("an error charges nothing: got %+v, %v", d, err)
	}
	if err := w.Close(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Close returns the journal's error: got %v", err)
	}
	j.fail = nil
	if err := w.Close(t.Context()); err != nil {
		t.Errorf("a Close that failed may be called again: %v", err)
	}
	w = newWindow(t, limiter.Options{Journal: j})
	if d, err := w.Peek(t.Context(), r); err != nil || d.Windows[0].Remaining != 54 {
		t.Errorf("the second Close saves exact counts: got %+v, %v", d, err)
	}
}

func TestFailedLoadIsTriedAgain(t *testing.T) {
	j := newJournal()
	w := newWindow(t, limiter.Options{Journal: j})
	for range 60 {
		mustTake(t, w, ask("k", minute))
	}
	w = newWindow(t, limiter.Options{Journal: j})
	j.fail = errors.New("timeout")
	if _, err := w.Take(t.Context(), ask("k", minute)); err == nil {
		t.Fatal("a journal that cannot be read is an error")
	}
	j.fail = nil
	if d := mustTake(t, w, ask("k", minute)); d.Allowed {
		t.Errorf("a subject whose record could not be read is not taken for new: got %v", d)
	}
}

// A write that fails may have happened all the same.
func TestFailedWriteIsTakenForUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		limit := apikey.Limit{Name: "minute", N: 16, Window: time.Minute} // reserves 2
		mustTake(t, w, ask("k", limit))
		mustTake(t, w, ask("k", limit)) // leaves one reserved
		j.fail = errors.New("timeout")
		big := ask("k", limit)
		big.Cost = 5
		w.Take(t.Context(), big)
		j.fail = nil
		saves := j.saves
		mustTake(t, w, ask("k", limit))
		if j.saves != saves+1 {
			t.Errorf("after a write that failed the next admission writes again: %d writes", j.saves-saves)
		}
	})
}

func TestCloseEndsTheLimiter(t *testing.T) {
	for name, o := range map[string]limiter.Options{"memory": {}, "journal": {Journal: newJournal()}} {
		w := newWindow(t, o)
		mustTake(t, w, ask("k", minute))
		for range 2 {
			if err := w.Close(t.Context()); err != nil {
				t.Errorf("%s: Close: %v", name, err)
			}
		}
		for _, call := range []func(context.Context, limiter.Request) (limiter.Decision, error){w.Take, w.Peek} {
			if _, err := call(t.Context(), ask("k", minute)); !errors.Is(err, limiter.ErrClosed) {
				t.Errorf("%s: a call after Close returns ErrClosed: got %v", name, err)
			}
		}
	}
	if _, err := limiter.New(limiter.Options{Reserve: -1}); err == nil || !strings.Contains(err.Error(), "Options.Reserve") {
		t.Errorf("New names the field that is wrong: got %v", err)
	}
}

// While the journal works for one key, others go on.
func TestSlowJournalHoldsUpItsSubjectOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		limit := apikey.Limit{Name: "hour", N: 1e6, Window: time.Hour}
		for i := range 1000 {
			mustTake(t, w, ask(strconv.Itoa(i), limit))
		}
		j.enter = func(_, subject string) {
			if subject == "slow" {
				time.Sleep(10 * time.Second)
			}
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { mustTake(t, w, ask("slow", limit)) })
		}
		time.Sleep(time.Second)
		for _, doing := range []string{"load", "save"} {
			start := time.Now()
			for i := range 40_000 { // sweeps pass over every shard, and over the waiting subject
				mustTake(t, w, ask(strconv.Itoa(i%1000), limit))
			}
			if d := time.Since(start); d > 0 {
				t.Errorf("a slow %s holds up its subject only: others waited %v", doing, d)
			}
			if loads, deletes := j.calls(); deletes > 0 || loads > 1001 {
				t.Errorf("no subject is let go during its %s: %d deletions, %d loads", doing, deletes, loads)
			}
			time.Sleep(10 * time.Second)
		}
		wg.Go(func() {
			r := ask("slow", limit)
			r.Cost = 1000 // more than is reserved
			mustTake(t, w, r)
		})
		time.Sleep(time.Second)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Take(ctx, ask("slow", limit)); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, limiter.ErrUnavailable) {
			t.Errorf("waiting for the journal ends with the context: got %v", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("waiting for the journal ends with the context: after %v, want 1s", d)
		}
		wg.Wait()
		if loads, _ := j.calls(); loads != 1001 {
			t.Errorf("no subject is let go while the journal works for it: %d loads, want 1001", loads)
		}
	})
}

// net/http recovers a panic of a handler; its key must not hang for ever.
func TestPanickingJournalLeavesNoLock(t *testing.T) {
	for _, op := range []string{"load", "save"} {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		j.enter = func(o, _ string) {
			if o == op {
				panic("journal")
			}
		}
		func() {
			defer func() { recover() }()
			w.Take(t.Context(), ask("k", minute))
			t.Errorf("%s: a panic of the journal is not swallowed", op)
		}()
		j.enter = nil
		again := make(chan limiter.Decision, 1)
		go func() {
			d, _ := w.Take(t.Context(), ask("k", minute))
			again <- d
		}()
		select {
		case d := <-again:
			if !d.Allowed || d.Windows[0].Remaining != 59 {
				t.Errorf("%s: after a panic of the journal the subject works, uncharged: got %v", op, d)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: a panic of the journal leaves the subject locked", op)
		}
	}
}

// TestACloseThatFailedMayBeCalledAgain: it ends within its context, whatever the
// journal does, and the next one writes what is left.
func TestACloseThatFailedMayBeCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		limit := apikey.Limit{Name: "hour", N: 160, Window: time.Hour} // reserves more than one
		for i := range 100 {
			for range 3 {
				mustTake(t, w, ask(strconv.Itoa(i), limit))
			}
		}
		free := make(chan struct{})
		j.enter = func(op, subject string) {
			if op == "save" && subject == "7" {
				<-free // deaf to its context
			}
		}
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				if err := w.Close(ctx); !errors.Is(err, limiter.ErrUnavailable) || time.Since(begun) > time.Second {
					t.Errorf("Close with a context of a second: %v after %v", err, time.Since(begun))
				}
			})
		}
		all.Wait()
		close(free)
		synctest.Wait()
		j.enter = nil
		if err := w.Close(t.Context()); err != nil {
			t.Errorf("Close when the journal answers again: %v", err)
		}
		next := newWindow(t, limiter.Options{Journal: j})
		for i := range 100 {
			if d := mustTake(t, next, ask(strconv.Itoa(i), limit)); d.Windows[0].Remaining != 156 {
				t.Fatalf("%d are left of subject %d, want 156: what Close wrote is exact", d.Windows[0].Remaining, i)
			}
		}
	})
}

// TestAJournalHasADeadline: a request without one does not wait for ever for a
// journal that does not answer, and neither do those behind it.
func TestAJournalHasADeadline(t *testing.T) {
	for name, deaf := range map[string]bool{"heeds its context": false, "does not": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free := make(chan struct{})
				w := newWindow(t, limiter.Options{Journal: stuckJournal{newJournal(), deaf, free}})
				var all sync.WaitGroup
				for i := range 3 {
					all.Go(func() {
						if i == 0 && deaf {
							w.Take(context.Background(), ask("k", minute))
							return
						}
						if _, err := w.Take(context.Background(), ask("k", minute)); !errors.Is(err, limiter.ErrUnavailable) {
							t.Errorf("Take returned %v", err)
						}
					})
					synctest.Wait()
				}
				time.Sleep(3 * time.Minute)
				close(free)
				all.Wait()
			})
		})
	}
}

// stuckJournal does not answer.
type stuckJournal struct {
	*journal
	deaf bool
	free chan struct{}
}

func (j stuckJournal) LoadWindows(ctx context.Context, _ string) ([]byte, error) {
	if j.deaf {
		ctx = context.Background()
	}
	select {
	case <-ctx.Done():
	case <-j.free:
	}
	return nil, ctx.Err()
}
