package limitertest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// The suite is only worth what it catches. Here it meets limiters with a flaw
// each, and must fail them by the rules that they break.

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

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// breaks returns what the rule says about the limiter.
func breaks(t *testing.T, name string, h Harness) (messages []string) {
	for _, r := range rules() {
		if r.name != name {
			continue
		}
		h.Unit, h.Grain, h.SlotLife, h.Histories = time.Minute, time.Second, limiter.SlotLife, 4
		if why := r.needs(h); why != "" {
			t.Fatalf("%q is not checked: %s", name, why)
		}
		synctest.Test(t, func(t *testing.T) {
			rec := &recorder{TB: t}
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

type flaw struct {
	name  string
	h     Harness
	rules []string
}

// changed returns the harness of an exact log, with something changed.
func changed(change func(h *Harness)) Harness {
	h := harnessOf(flawed{})
	change(&h)
	return h
}

func forgets(testing.TB, limiter.Limiter) limiter.Limiter { return &flawed{Log: new(Log)} }

// crashCharges charges each known limit for nothing, for ever.
func crashCharges(_ testing.TB, l limiter.Limiter) limiter.Limiter {
	f := l.(*flawed)
	for c, all := range f.past.charges {
		f.past.charges[c] = append(all, &charge{of: c, cost: 1})
	}
	return l
}

func flaws() []flaw {
	as := func(l limiter.Limiter) *flawed { return l.(*flawed) }
	shared := manyProcesses(limiter.SlotLife)
	apart, immortal := shared, shared
	apart.Peer = func(testing.TB, limiter.Limiter) limiter.Limiter { return &process{Log: new(Log)} }
	immortal.Kill = func(testing.TB, limiter.Limiter) {}
	racing := harnessOf(flawed{takes: getThenSet})
	racing.Peer = func(_ testing.TB, l limiter.Limiter) limiter.Limiter { return l }
	forgetful := harnessOf(leave(func(l apikey.Limit, at time.Time) time.Time {
		if l.Concurrent {
			return at.Add(limiter.SlotLife)
		}
		return leaving(l, at)
	}))
	forgetful.Peer, forgetful.Restart, forgetful.Crash = racing.Peer, nil, nil
	return []flaw{
		{
			"fixed windows", harnessOf(leave(func(l apikey.Limit, at time.Time) time.Time { return at.Truncate(l.Window).Add(max(l.Window, 0)) })),
			[]string{"no interval of the window's length admits more than N", byHistory},
		},
		{
			"counts a segment longer", harnessOf(leave(func(l apikey.Limit, at time.Time) time.Time { return late(l, at, l.Window/60) })),
			[]string{exactLeave, passes128, byHistory},
		},
		{
			"counts a nanosecond longer", harnessOf(leave(func(l apikey.Limit, at time.Time) time.Time { return late(l, at, 1) })),
			[]string{exactLeave, neverRefused},
		},
		{
			"counts three segments longer", harnessOf(leave(func(l apikey.Limit, at time.Time) time.Time { return late(l, at, l.Window/20) })),
			[]string{grainLeave, "sustained overload admits at least 98 percent of an exact log", "an idle subject is as good as new"},
		},
		{"Reset rounded up", harnessOf(flawed{says: func(d limiter.Decision) limiter.Decision {
			for i := range d.Windows[:d.N] {
				d.Windows[i].Reset = d.Windows[i].Reset.Round(7 * time.Second)
			}
			return d
		}}), []string{"Status tells what remains and when it grows", quotaSpan}},
		{
			"RetryAfter too short", harnessOf(flawed{says: func(d limiter.Decision) limiter.Decision { d.RetryAfter = d.RetryAfter * 9 / 10; return d }}),
			[]string{retryHonest, quotaSpan, raisedAll},
		},
		{"RetryAfter rounded up", harnessOf(flawed{says: func(d limiter.Decision) limiter.Decision {
			if d.RetryAfter > 0 {
				d.RetryAfter = d.RetryAfter.Truncate(time.Second) + time.Second
			}
			return d
		}}), []string{"nothing shorter than RetryAfter is enough", byHistory}},
		{
			"Never and Unknown are one", harnessOf(flawed{says: func(d limiter.Decision) limiter.Decision { d.RetryAfter = max(d.RetryAfter, -1); return d }}),
			[]string{longestWait, atOnce, byHistory},
		},
		{"an hour instead of Never", harnessOf(flawed{says: func(d limiter.Decision) limiter.Decision {
			if d.RetryAfter == limiter.Never {
				d.RetryAfter = time.Hour
			}
			return d
		}}), []string{"a cost above N is never admitted", quotaEver, longestWait, byHistory}},
		{"quotas as wide as windows", harnessOf(mishears(func(_ string, l *apikey.Limit) { l.N = min(l.N, apikey.MaxLimitN) })), []string{quotaN}},
		{"all quotas in UTC", harnessOf(mishears(func(_ string, l *apikey.Limit) { l.Zone = "" })), []string{quotaSpan, oneOfZones, byHistory}},
		{"a day is 24 hours", harnessOf(mishears(func(_ string, l *apikey.Limit) {
			if l.Period == apikey.Daily {
				l.Period, l.Zone, l.Window = "", "", 24*time.Hour
			}
		})), []string{quotaSpan}},
		{"credits come back", harnessOf(mishears(func(_ string, l *apikey.Limit) {
			if l.Period == apikey.Ever {
				l.Period = apikey.Monthly
			}
		})), []string{quotaEver}},
		{"slots are never freed", harnessOf(flawed{settle: func(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
			s.Over = false
			return f.Log.Settle(context.Background(), r, d, s)
		}}), []string{atOnce, slotAll, slotLasts, slotRaces}},
		{"a counter of slots", harnessOf(flawed{settle: freesAny}), []string{slotOnce}},
		{"a slot for each cost", harnessOf(flawed{takes: func(f *flawed, r limiter.Request) (limiter.Decision, error) {
			d, err := f.Log.Take(context.Background(), r)
			for i := int64(1); d.Allowed && i < r.Cost && i < 5; i++ {
				each(r, func(_ int, c count, l apikey.Limit) {
					if l.Concurrent {
						f.force(ask(strings.Clone(c.subject), l))
					}
				})
			}
			return f.status(r, d), err
		}}), []string{atOnce}},
		{"slots are not renewed", forgetful, []string{slotLasts, livingKeep}},
		{"charges refusals", harnessOf(flawed{takes: chargesRefused}), []string{uncharged, allOrNone, retryHonest, "a cost above N is never admitted", slotAll, shadowTogether, byHistory}},
		{"decides limit by limit", harnessOf(flawed{takes: onePerLimit}), []string{uncharged, allOrNone, "no subject of up to four in a request admits more than N", slotAll}},
		{
			"asks the first demand alone", harnessOf(flawed{takes: firstOnly}),
			[]string{allOrNone, "keys share the window of their owner", "no subject of up to four in a request admits more than N", "concurrent takers of crossed subjects finish", slotAll},
		},
		{"get, then set", racing, []string{"concurrent takers admit exactly N", slotRaces, peersRace}},
		{"ignores units", harnessOf(mishears(func(_ string, l *apikey.Limit) { l.Unit = "" })), []string{amounts, unnamed}},
		{"one of each unit that is not named", harnessOf(flawed{hears: func(r limiter.Request) limiter.Request {
			each(r, func(_ int, _ count, l apikey.Limit) {
				if _, says := costIn(r, l); !says {
					r = of(r, l.Unit, 1)
				}
			})
			return r
		}}), []string{unnamed, byHistory}},
		{"an amount of 0 is none", harnessOf(flawed{hears: func(r limiter.Request) limiter.Request {
			r.Amounts = slices.DeleteFunc(slices.Clone(r.Amounts), func(a limiter.Amount) bool { return a.N == 0 })
			return r
		}}), []string{zeroAsks, byHistory}},
		{"an amount of 0 is 1", harnessOf(flawed{hears: func(r limiter.Request) limiter.Request {
			r.Amounts = slices.Clone(r.Amounts)
			for i := range r.Amounts {
				r.Amounts[i].N = max(r.Amounts[i].N, 1)
			}
			return r
		}}), []string{zeroAsks, byHistory}},
		{"settles amounts that are not named at 0", harnessOf(flawed{settle: func(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
			for _, a := range r.Amounts {
				if !slices.ContainsFunc(s.Amounts, func(b limiter.Amount) bool { return b.Unit == a.Unit }) {
					s.Amounts = append(s.Amounts, limiter.Amount{Unit: a.Unit})
				}
			}
			return f.Log.Settle(context.Background(), r, d, s)
		}}), []string{backUnits, byHistory}},
		{"shadows refuse", harnessOf(mishears(func(_ string, l *apikey.Limit) { l.Shadow = false })), []string{shadowAdmits, shadowTogether, byHistory}},
		{"charges the shadows that admit", harnessOf(flawed{takes: eachShadow}), []string{shadowTogether, byHistory}},
		{"knows no shadow of all", harnessOf(flawed{hears: func(r limiter.Request) limiter.Request { r.Shadow = false; return r }}), []string{shadowRequest, byHistory}},
		{"settles shadows that refused", harnessOf(flawed{settle: settlesShadows}), []string{shadowSettles, byHistory}},
		{"one count for all", harnessOf(flawed{hears: func(r limiter.Request) limiter.Request {
			r.Demands = slices.Clone(r.Demands)
			for i := range r.Demands {
				r.Demands[i].Subject = strings.Repeat("x", i+1)
			}
			return r
		}}), []string{"two subjects are independent", "keys share the window of their owner"}},
		{"subjects are words", harnessOf(flawed{hears: func(r limiter.Request) limiter.Request {
			r.Demands = slices.Clone(r.Demands)
			for i, q := range r.Demands {
				r.Demands[i].Subject = strings.ToLower(q.Subject)
			}
			return r
		}}), []string{"subjects are bytes"}},
		{
			"each costs one", harnessOf(flawed{hears: func(r limiter.Request) limiter.Request { r.Cost = min(r.Cost, 1); return r }}),
			[]string{"cost is charged to every window and 0 means 1", byHistory},
		},
		{"keeps its arguments", harnessOf(aliasing()), []string{"a limiter keeps no reference to its arguments"}},
		{
			"Peek charges", harnessOf(flawed{peeks: func(f *flawed, r limiter.Request) (limiter.Decision, error) {
				return f.Log.Take(context.Background(), r)
			}}),
			[]string{"Peek charges nothing and agrees with Take", byHistory},
		},
		{
			"refuses what asks for nothing", harnessOf(flawed{says: func(d limiter.Decision) limiter.Decision { d.Allowed = d.Allowed && d.N > 0; return d }}),
			[]string{"zero demands ask for nothing"},
		},
		{"accepts anything", harnessOf(flawed{
			takes: func(f *flawed, r limiter.Request) (limiter.Decision, error) {
				return lax(f.Log.Take(context.Background(), r))
			},
			settle: func(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
				return lax(f.Log.Settle(context.Background(), r, d, s))
			},
		}), []string{invalidRequests, badSettle}},
		{
			"charges what was cancelled", changed(func(h *Harness) { h.New = func(testing.TB) limiter.Limiter { return impatient{new(Log)} } }),
			[]string{"a cancelled context gives an answer or its error"},
		},
		{"has quotas that it should not", changed(func(h *Harness) { h.NoQuotas = true }), []string{lacks}},
		{"has slots that it should not", changed(func(h *Harness) { h.NoConcurrent = true }), []string{lacks}},
		{"has units that it should not", changed(func(h *Harness) { h.NoUnits = true }), []string{lacks}},
		{"has shadows that it should not", changed(func(h *Harness) { h.NoShadows = true }), []string{lacks}},
		{"believes the first N", harnessOf(firstN()), []string{"a raised limit admits at once", "a lowered limit refuses until it drains", passes128, quotaEver}},
		{"counts by plan", harnessOf(byPlan()), []string{"a limit that stays keeps its count when another comes or goes", byHistory}},
		{"forgets what is not named", harnessOf(flawed{takes: forgetsUnnamed}), []string{"a limit that comes back finds its count", "a limit that stays keeps its count when another comes or goes", byHistory}},
		{"new limits are not empty", harnessOf(startsAt(1)), []string{startsZero}},
		{"limits have no names", harnessOf(mishears(func(_ string, l *apikey.Limit) { l.Name = "" })), []string{namesApart}},
		{"limits have no length", harnessOf(mishears(func(_ string, l *apikey.Limit) { l.Window = min(l.Window, 5*time.Minute) })), []string{shapesApart}},
		{"another N is another limit", harnessOf(mishears(func(_ string, l *apikey.Limit) { l.Name += fmt.Sprint(l.N) })), []string{sameCount, passes128, "a lowered limit refuses until it drains"}},
		{"forgets when N passes 128", harnessOf(mishears(func(_ string, l *apikey.Limit) { l.Name += fmt.Sprint(l.N > mostExact) })), []string{passes128}},
		{
			"forgets", changed(func(h *Harness) { h.Restart, h.Crash = forgets, forgets }),
			[]string{"a restart loses no count and adds none", "a crash never admits more than N", "what was given back stays free after a restart", "what was given back admits no more than N after a crash"},
		},
		{"a crash charges more than it says", changed(func(h *Harness) { h.Crash = crashCharges }), []string{"a crash charges at most CrashLoss for nothing", "what a crash charged leaves after one window"}},
		{"slots outlive their process", changed(func(h *Harness) { h.Crash = func(_ testing.TB, l limiter.Limiter) limiter.Limiter { return l } }), []string{endWith}},
		{"forgets what is in the future", changed(func(h *Harness) {
			h.Step = func(_ testing.TB, l limiter.Limiter, d time.Duration) {
				if as(l).skew += d; d < 0 {
					as(l).past = history{}
				}
			}
		}), []string{"a clock set back never admits more", "a clock set back recovers when it has caught up", datedLikeNewest, staysInPeriod}},
		{"has a clock of its own", changed(func(h *Harness) { h.Step = func(testing.TB, limiter.Limiter, time.Duration) {} }), []string{"a clock set forward lets go what has left by it"}},
		{"shares nothing", apart, []string{peersShare, peersRace}},
		{"the dead keep their slots", immortal, []string{deadFree}},
		{"gives nothing back", harnessOf(flawed{settle: backOf(func(was, cost int64) int64 { return max(was, cost) })}), []string{backIsFree, "concurrent settles leave exact counts", byHistory}},
		{"gives back twice as much", harnessOf(flawed{settle: backOf(func(was, cost int64) int64 { return min(2*cost-was, cost) })}), []string{backIsFree, byHistory}},
		{"gives back the first demand", harnessOf(flawed{settle: func(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
			first := r
			first.Demands = r.Demands[:min(1, len(r.Demands))]
			after, err := f.Log.Settle(context.Background(), first, d, s)
			return f.status(r, after), err
		}}), []string{backIsFree, byHistory}},
		{"gives back what came later", harnessOf(flawed{settle: backOfNewest}), []string{lateBack, settledFits}},
		{"refuses to raise", harnessOf(flawed{settle: refusesRaises}), []string{raisedAll}},
		{"raises now", harnessOf(flawed{settle: raisesNow}), []string{raisedAll, lateBack, byHistory}},
	}
}

func late(l apikey.Limit, at time.Time, d time.Duration) time.Time {
	if l.Concurrent {
		return time.Time{}
	}
	return at.Add(l.Window + d)
}

func TestSuiteCatchesFlaws(t *testing.T) {
	caught := map[string]bool{}
	for _, c := range flaws() {
		for _, rule := range c.rules {
			messages := breaks(t, rule, c.h)
			if caught[rule] = true; len(messages) == 0 {
				t.Errorf("%s: the suite does not see that it breaks %q", c.name, rule)
				continue
			}
			t.Logf("%s: %s", c.name, messages[0])
		}
	}
	for _, r := range rules() {
		if !caught[r.name] {
			t.Errorf("no flaw breaks %q", r.name)
		}
	}
}
