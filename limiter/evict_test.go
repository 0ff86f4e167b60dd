package limiter_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
	"github.com/wontopos/latchkey/limiter"
)

var second = apikey.Limit{Name: "second", N: 10, Window: time.Second}

// A million subjects come and go; at any time 10,000 or so are live.
func TestMemoryFollowsTheLiveSubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		total, live := 1_000_000, 10_000
		if raceEnabled {
			total, live = total/20, live/20
		}
		w := newWindow(t, limiter.Options{})
		buf := []byte("k:")
		most := 0
		for i := range total {
			if i%100 == 0 {
				time.Sleep(time.Second * 100 / time.Duration(live))
			}
			if i%10_000 == 0 {
				most = max(most, w.Subjects())
			}
			buf = strconv.AppendInt(buf[:2], int64(i), 10)
			mustTake(t, w, ask(string(buf), second))
		}
		if most > 2*live {
			t.Errorf("idle subjects are let go while keys come and go: %d held with about %d live", most, live)
		}
		// One known key is enough to collect what is left.
		time.Sleep(3 * time.Second)
		held := w.Subjects()
		for range 20*held + 100_000 { // a sweep in 64 calls, a shard in each sweep
			mustTake(t, w, ask("k:hot", second))
		}
		if n := w.Subjects(); n != 1 {
			t.Errorf("idle subjects are let go while only other keys are used: %d held, want 1 of %d", n, held)
		}
	})
}

func TestEvictionLosesNoCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, o := range map[string]limiter.Options{"memory": {}, "journal": {Journal: newJournal()}} {
			w := newWindow(t, o)
			minute := apikey.Limit{Name: "minute", N: 10, Window: time.Minute}
			for range 10 {
				mustTake(t, w, ask("k", second, minute))
			}
			for i := range 20_000 { // sweeps pass over every shard
				mustTake(t, w, ask(strconv.Itoa(i), second))
				time.Sleep(time.Millisecond)
			}
			if d := mustTake(t, w, ask("k", second, minute)); d.Allowed || d.Windows[0].Remaining != 10 {
				t.Errorf("%s: a subject is let go only when all its windows are empty: got %+v", name, d)
			}
		}
	})
}

func TestPeekOfUnknownSubjectsHoldsNothing(t *testing.T) {
	w := newWindow(t, limiter.Options{})
	for i := range 100 {
		if _, err := w.Peek(t.Context(), ask(strconv.Itoa(i), second)); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.Subjects(); n != 0 {
		t.Errorf("Peek leaves no trace: %d subjects held", n)
	}
}

func TestPeekWithOtherLimitsForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(t, limiter.Options{})
		mine := apikey.Limit{Name: "mine", N: 1, Window: time.Hour}
		mustTake(t, w, ask("k", mine))
		others := make([]apikey.Limit, 2*apikey.MaxLimits)
		for i := range others {
			others[i] = apikey.Limit{Name: "other", N: 10, Window: time.Duration(i+1) * time.Second}
		}
		size := w.Size("k")
		for some := range slices.Chunk(others, apikey.MaxLimits) {
			if _, err := w.Peek(t.Context(), ask("k", some...)); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.Size("k"); n != size {
			t.Errorf("Peek leaves no trace: a subject of %d bytes has %d", size, n)
		}
		time.Sleep(time.Minute)
		if d := mustTake(t, w, ask("k", mine)); d.Allowed {
			t.Errorf("Peek leaves no trace, whatever its limits: got %v", d)
		}
	})
}

// Everything at once under the race detector: sweeps, crossed subjects, changing
// limits, a journal, and a Close in the middle.
func TestManyGoroutinesManySubjects(t *testing.T) {
	for name, j := range map[string]limiter.Journal{"memory": nil, "journal": newJournal()} {
		w := newWindow(t, limiter.Options{Journal: j})
		limits := [][]apikey.Limit{{second}, {second, {Name: "minute", N: 300, Window: time.Minute}}}
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(1, uint64(g)))
				for i := range 2000 {
					a, b := rng.IntN(50), rng.IntN(50)
					r := ask(fmt.Sprintf("k%d", a), limits[rng.IntN(2)]...)
					if a != b {
						r.Demands = append(r.Demands, limiter.Demand{Subject: fmt.Sprintf("k%d", b), Limits: limits[rng.IntN(2)]})
					}
					call := w.Take
					if i%5 == 0 {
						call = w.Peek
					}
					if _, err := call(t.Context(), r); err != nil && i < 1000 && g != 0 {
						continue // closed by goroutine 0
					}
					if g == 0 && i == 1500 {
						if err := w.Close(t.Context()); err != nil {
							t.Errorf("%s: Close: %v", name, err)
						}
					}
				}
			})
		}
		wg.Wait()
	}
}

// Requests that name the same two subjects in both orders, of subjects that come
// and go and of subjects that are known.
func TestTwoSubjectsInBothOrdersDoNotLockEachOtherOut(t *testing.T) {
	for name, w := range map[string]limiter.Limiter{
		"unknown": newWindow(t, limiter.Options{}), "known": newWindow(t, limiter.Options{}),
	} {
		known := name != "unknown"
		if known {
			mustTake(t, w, ask("a", second))
			mustTake(t, w, ask("b", second))
		}
		done := make(chan struct{})
		for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
			go func() {
				r := ask(order[0], second)
				r.Demands = append(r.Demands, limiter.Demand{Subject: order[1], Limits: r.Demands[0].Limits})
				for range longer(20_000, 200_000) {
					_, _ = w.Peek(context.Background(), r)
					if known {
						_, _ = w.Take(context.Background(), r)
					}
				}
				done <- struct{}{}
			}()
		}
		for range 2 {
			select {
			case <-done:
			case <-time.After(30 * time.Second):
				t.Fatalf("two requests wait for each other: %s subjects", name)
			}
		}
	}
}

// A Peek of an unknown subject makes a bucket and lets it go. A Take that found
// it meanwhile must not charge what is gone.
func TestTakeOfASubjectThatIsLetGo(t *testing.T) {
	w := newWindow(t, limiter.Options{})
	hour := apikey.Limit{Name: "hour", N: 5, Window: time.Hour}
	for i := range 3000 {
		own, r := new(slot.Slot), ask(strconv.Itoa(i), hour)
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				var first *slot.Slot
				if g%2 == 0 {
					first = own
				}
				for range 3 {
					if _, err := w.Peek(t.Context(), r); err != nil {
						t.Error(err)
					}
					var d limiter.Decision
					if err := w.Decide(t.Context(), &r, first, &d); err != nil {
						t.Error(err)
					} else if d.Allowed {
						admitted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if n := admitted.Load(); n != hour.N {
			t.Fatalf("with and without its slot, coming and going, a subject has one budget: %d admitted of %d", n, hour.N)
		}
	}
}

func TestASlotOfAnotherDemandIsAnError(t *testing.T) {
	w, own := newWindow(t, limiter.Options{}), new(slot.Slot)
	a, both := ask("a", second), ask("b", second)
	if err := w.Decide(t.Context(), &a, own, new(limiter.Decision)); err != nil {
		t.Fatal(err)
	}
	both.Demands = append(both.Demands, a.Demands[0])
	got := make(chan error, 1)
	go func() { got <- w.Decide(context.Background(), &both, own, new(limiter.Decision)) }()
	select {
	case err := <-got:
		if !errors.Is(err, limiter.ErrInvalid) {
			t.Errorf("a slot of another demand is an error: got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a slot of another demand is an error and not a deadlock")
	}
}

func TestOneSubjectForTwoDemandsIsAnError(t *testing.T) {
	w := newWindow(t, limiter.Options{})
	r := ask("a", second)
	r.Demands = append(r.Demands, limiter.Demand{Subject: "a", Limits: r.Demands[0].Limits})
	got := make(chan error, 1)
	go func() {
		_, err := w.Take(context.Background(), r)
		got <- err
	}()
	select {
	case err := <-got:
		if !errors.Is(err, limiter.ErrInvalid) || !strings.Contains(err.Error(), "same subject") {
			t.Errorf("one subject for two demands is an error that says so: got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("one subject for two demands is an error and not a deadlock")
	}
	if n := w.Subjects(); n != 0 {
		t.Errorf("a request that is wrong leaves nothing: %d subjects held", n)
	}
}
