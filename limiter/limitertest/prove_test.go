package limitertest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// The suite is only worth what it catches. Here it meets limiters with a flaw
// each, and must fail them by the rule that they break.

// recorder collects the failures of a rule.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	messages []string
}

func (r *recorder) Helper() {}

func (r *recorder) Failed() bool { return len(r.messages) > 0 }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// breaks returns what the rule says about the limiter.
func breaks(t *testing.T, name string, f *flawed, grain time.Duration) (messages []string) {
	for _, r := range rules() {
		if r.name != name {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			f.hits = map[string][]Hit{}
			rec := &recorder{TB: t}
			h := Harness{New: func(testing.TB) limiter.Limiter { return f }, Virtual: true, Unit: time.Minute, Grain: grain}
			var wg sync.WaitGroup
			wg.Go(func() { r.check(newEnv(rec, h)) })
			wg.Wait()
			messages = rec.messages
		})
		return messages
	}
	t.Fatalf("there is no rule %q", name)
	return nil
}

func TestSuiteCatchesFlaws(t *testing.T) {
	const overAdmits = "no interval of the window's length admits more than N"
	for _, c := range []struct {
		name, rule string
		flawed     *flawed
	}{
		{"fixed window", overAdmits, &flawed{count: fixed}},
		{"two weighted buckets", overAdmits, &flawed{count: weighted}},
		{"counts too long", "a hit counts at most one segment longer than its window", &flawed{count: slow}},
		{"counts too long", "sustained overload admits at least 98 percent of an exact log", &flawed{count: slow}},
		{"RetryAfter too short", retryHonest, &flawed{count: sliding, retry: func(d time.Duration) time.Duration { return d * 9 / 10 }}},
		{"RetryAfter rounded up", "nothing shorter than RetryAfter is enough", &flawed{count: sliding, retry: func(d time.Duration) time.Duration { return d.Truncate(time.Second) + time.Second }}},
		{"charges window by window", uncharged, &flawed{count: sliding, chargeFirst: true}},
		{"charges window by window", allOrNone, &flawed{count: sliding, chargeFirst: true}},
		{"charges refusals", uncharged, &flawed{count: sliding, chargeDenied: true}},
		{"charges refusals", retryHonest, &flawed{count: sliding, chargeDenied: true}},
		{"charges refusals", "a cost above N is never admitted", &flawed{count: sliding, chargeDenied: true}},
		{"Peek charges", "Peek charges nothing and agrees with Take", &flawed{count: sliding, chargePeek: true}},
		{"ignores all but the first", allOrNone, &flawed{count: sliding, ignoreOthers: true}},
		{"ignores all but the first", "keys share the window of their owner", &flawed{count: sliding, ignoreOthers: true}},
		{"charges window by window", "no subject of up to four in a request admits more than N", &flawed{count: sliding, chargeFirst: true}},
		{"ignores all but the first", "no subject of up to four in a request admits more than N", &flawed{count: sliding, ignoreOthers: true}},
		{"one count for all", "two subjects are independent", &flawed{count: sliding, oneSubject: true}},
		{"get, then set", "concurrent takers admit exactly N", &flawed{count: sliding, unlocked: true}},
		{"holds a charge past its time", "a reserved charge counts a whole window from the end of its life", &flawed{count: sliding, life: time.Second}},
		{"charges refusals", "Reserve decides as Take does", &flawed{count: sliding, chargeDenied: true}},
		{"gives nothing back", backIsFree, &flawed{count: sliding, back: func(hits []Hit, _ time.Duration, _ int64) []Hit { return hits }}},
		{"gives back twice as much", backIsFree, &flawed{count: sliding, back: func(hits []Hit, _ time.Duration, cost int64) []Hit { return giveBackNewest(hits, 0, 2*cost) }}},
		{"gives back the first demand", backIsFree, &flawed{count: sliding, backFirst: true}},
		{"gives back what came later", "what has left its window is not given back", &flawed{count: sliding, back: giveBackNewest}},
		{"gives back what came later", "no settled charges of an interval add up to more than N", &flawed{count: sliding, back: giveBackNewest}},
		{"gives nothing back", "no settled charges of an interval add up to more than N", &flawed{count: sliding, back: func(hits []Hit, _ time.Duration, _ int64) []Hit { return hits }}},
		{"keeps what could not be raised", raisesWhole, &flawed{count: sliding, keepRefused: true}},
		{"raises beyond N", raisesWhole, &flawed{count: sliding, raiseBlind: true}},
		{"raises beyond N", "no settled charges of an interval add up to more than N", &flawed{count: sliding, raiseBlind: true}},
		{"accepts anything", "invalid requests are errors and charge nothing", &flawed{count: sliding}},
	} {
		messages := breaks(t, c.rule, c.flawed, time.Second)
		if len(messages) == 0 {
			t.Errorf("%s: the suite does not see that it breaks %q", c.name, c.rule)
			continue
		}
		t.Logf("%s: %s", c.name, messages[0])
	}
}

// A limiter may be exact, or nearly so: its segments are many, and not all of their edges can be tried.
func TestArrivalsHaveAnEndWhateverTheGrain(t *testing.T) {
	for _, grain := range []time.Duration{time.Minute, time.Second, time.Millisecond, time.Microsecond, time.Nanosecond} {
		for _, p := range patterns(60, time.Minute, grain) {
			if len(p.hits) > 5000 || len(p.hits) == 0 {
				t.Fatalf("with a grain of %v %q are %d arrivals", grain, p.name, len(p.hits))
			}
		}
	}
}

// The counterpart: the same limiter without a flaw passes those rules.
func TestSuitePassesAnExactLog(t *testing.T) {
	for _, r := range rules() {
		if r.needs(Harness{Virtual: true}) != "" || strings.HasPrefix(r.name, "invalid requests") {
			continue
		}
		for _, grain := range []time.Duration{time.Second, time.Nanosecond} {
			if messages := breaks(t, r.name, &flawed{count: sliding}, grain); len(messages) > 0 {
				t.Errorf("%q fails an exact log, with a grain of %v: %s", r.name, grain, messages[0])
			}
		}
	}
}

// How far off the two approximations are, for the record.
func TestWhatTheApproximationsAdmit(t *testing.T) {
	limit := apikey.Limit{Name: "minute", N: 60, Window: time.Minute}
	for name, count := range map[string]func([]Hit, time.Duration, time.Duration) int64{"fixed": fixed, "weighted": weighted} {
		worst := int64(0)
		for _, p := range patterns(limit.N, limit.Window, time.Second) {
			var admitted []Hit
			for _, h := range p.hits {
				if count(admitted, h.At, limit.Window)+h.Cost <= limit.N {
					admitted = append(admitted, h)
				}
			}
			if err := Check(admitted, limit); err != nil {
				cost, _ := Worst(admitted, limit.Window)
				worst = max(worst, cost)
			}
		}
		if worst*100 < limit.N*140 {
			t.Errorf("%s: the arrivals find an interval with %d, want at least 40 percent above %d", name, worst, limit.N)
		}
		t.Logf("%s: up to %d in a minute of %d", name, worst, limit.N)
	}
}
