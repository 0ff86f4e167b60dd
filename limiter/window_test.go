package limiter_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/limiter/limitertest"
)

func newWindow(t testing.TB, o limiter.Options) *limiter.Window {
	t.Helper()
	w, err := limiter.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func ask(subject string, limits ...apikey.Limit) limiter.Request {
	return limiter.Request{Demands: []limiter.Demand{{Subject: subject, Limits: limits}}}
}

func mustTake(t testing.TB, l limiter.Limiter, r limiter.Request) limiter.Decision {
	t.Helper()
	d, err := l.Take(t.Context(), r)
	if err != nil {
		t.Fatalf("Take(%v): %v", r, err)
	}
	return d
}

func step(_ testing.TB, l limiter.Limiter, d time.Duration) { l.(*limiter.Window).Step(d) }

func TestWindow(t *testing.T) {
	limitertest.Run(t, limitertest.Harness{
		New:     func(t testing.TB) limiter.Limiter { return newWindow(t, limiter.Options{}) },
		Virtual: true, Histories: longer(2, 4),
		Step: step,
	})
}

// Longer windows have segments of another length, not aligned to anything.
func TestWindowOddUnit(t *testing.T) {
	limitertest.Run(t, limitertest.Harness{
		New:     func(t testing.TB) limiter.Limiter { return newWindow(t, limiter.Options{}) },
		Virtual: true, Histories: longer(1, 4),
		Unit: 7 * time.Second,
	})
}

// In real time rules mostly sleep, so both limiters do it at once.
func TestInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 8 seconds")
	}
	var both sync.WaitGroup
	for name, h := range map[string]limitertest.Harness{
		"window": {New: func(t testing.TB) limiter.Limiter { return newWindow(t, limiter.Options{}) }},
		"shared": sharedHarness(limiter.SharedOptions{Instances: 1, Timeout: time.Second}),
	} {
		h.Unit = 2 * time.Second
		both.Go(func() { t.Run(name, func(t *testing.T) { limitertest.Run(t, h) }) })
	}
	both.Wait()
}

func TestWindowWithJournal(t *testing.T) {
	for name, reserve := range map[string]int{"default reserve": 0, "reserve of 1": 1} {
		t.Run(name, func(t *testing.T) {
			limitertest.Run(t, journaled(reserve))
		})
	}
}

// The same rules hold for callers that bring slots.
func TestWindowWithSlots(t *testing.T) {
	plain := journaled(0)
	wrap := func(l limiter.Limiter) limiter.Limiter {
		return &slotted{Window: l.(*limiter.Window), slots: map[string]*slot.Slot{}}
	}
	h := plain
	h.New = func(t testing.TB) limiter.Limiter { return wrap(plain.New(t)) }
	h.Crash = func(t testing.TB, l limiter.Limiter) limiter.Limiter {
		return wrap(plain.Crash(t, l.(*slotted).Window))
	}
	h.Restart = func(t testing.TB, l limiter.Limiter) limiter.Limiter {
		return wrap(plain.Restart(t, l.(*slotted).Window))
	}
	h.Step = nil
	limitertest.Run(t, h)
}

// slotted brings the slot of the first subject.
type slotted struct {
	*limiter.Window
	mu    sync.Mutex
	slots map[string]*slot.Slot
}

func (s *slotted) slotOf(d *limiter.Demand) *slot.Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots[d.Subject] == nil {
		s.slots[strings.Clone(d.Subject)] = new(slot.Slot) // rules reuse the memory of subjects
	}
	return s.slots[d.Subject]
}

func (s *slotted) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	if len(r.Demands) == 0 {
		return s.Window.Take(ctx, r)
	}
	var d limiter.Decision
	err := s.Decide(ctx, &r, s.slotOf(&r.Demands[0]), &d)
	return d, err
}

// A slot may point at a bucket that was evicted, and made anew since.
func TestASlotThatIsStaleIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(t, limiter.Options{})
		own := &slotted{Window: w, slots: map[string]*slot.Slot{}}
		r := ask("k", minute)
		mustTake(t, own, r)
		time.Sleep(time.Hour)
		for i := range 20_000 { // others sweep it away
			mustTake(t, w, ask(fmt.Sprint("other", i), minute))
		}
		if n := w.Size("k"); n != 0 {
			t.Fatalf("the idle bucket is still there: %d bytes", n)
		}
		for range 30 {
			mustTake(t, w, r)
			mustTake(t, own, r)
		}
		if d := mustTake(t, own, r); d.Allowed {
			t.Error("with and without its slot a subject has one budget: the 61st was admitted")
		}
	})
}

// journaled keeps its counts in a map. A crash drops the limiter as it is.
func journaled(reserve int) limitertest.Harness {
	var mu sync.Mutex
	journals := map[limiter.Limiter]*journal{}
	open := func(t testing.TB, j *journal) limiter.Limiter {
		w := newWindow(t, limiter.Options{Journal: j, Reserve: reserve})
		mu.Lock()
		defer mu.Unlock()
		journals[w] = j
		return w
	}
	of := func(l limiter.Limiter) *journal {
		mu.Lock()
		defer mu.Unlock()
		return journals[l]
	}
	most := int64(64)
	if reserve > 0 {
		most = int64(reserve)
	}
	return limitertest.Harness{
		New:       func(t testing.TB) limiter.Limiter { return open(t, newJournal()) },
		Virtual:   true,
		Histories: longer(1, 4),
		Step:      step,
		CrashLoss: func(n int64) int64 { return max(1, min(most, n/8)) - 1 },
		Crash:     func(t testing.TB, l limiter.Limiter) limiter.Limiter { return open(t, of(l)) },
		Restart: func(t testing.TB, l limiter.Limiter) limiter.Limiter {
			if err := l.(*limiter.Window).Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			return open(t, of(l))
		},
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	free := []apikey.Limit{apikey.PerMinute(60), apikey.PerDay(1000)}
	for name, limits := range map[string][]apikey.Limit{
		"admitted": {apikey.PerMinute(1_000_000), apikey.PerDay(1_000_000_000)},
		"refused":  free,
	} {
		for _, o := range []limiter.Options{{}, {Journal: newJournal(), Reserve: 1_000_000}} {
			var l limiter.Limiter = newWindow(t, o)
			r := ask("k:0123456789abcdef", limits...)
			r.Demands = append(r.Demands, limiter.Demand{Subject: "o:owner", Limits: limits})
			for range 100 {
				mustTake(t, l, r)
			}
			ctx := t.Context()
			for verb, call := range map[string]func(){
				"Take": func() { l.Take(ctx, r) },
				"Peek": func() { l.Peek(ctx, r) },
				"Take and Settle": func() {
					d, _ := l.Take(ctx, r)
					_, _ = l.(limiter.Settler).Settle(ctx, r, d, limiter.Settlement{Cost: 1, Over: true})
				},
			} {
				if n := testing.AllocsPerRun(200, call); n != 0 {
					t.Errorf("%s of a known subject, %s, journal %t: %v allocations, want none", verb, name, o.Journal != nil, n)
				}
			}
		}
	}
}

// longer returns the size of a test in its short form, or in its long one.
func longer(short, long int) int {
	if os.Getenv("LATCHKEY_LONG") != "" {
		return long
	}
	return short
}
