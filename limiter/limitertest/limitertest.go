package limitertest

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/limiter"
)

// Harness describes an implementation to [Run].
type Harness struct {
	// New returns an empty limiter that shares no subjects with any other, and
	// cleans up through t. Rules run concurrently, each with its own limiter.
	// Required.
	New func(t testing.TB) limiter.Limiter

	// Virtual runs each rule in a [synctest] bubble, where time costs nothing and
	// is exact to the nanosecond. The limiter lives in the bubble, so it must not
	// interact with anything outside. Without Virtual, rules run in real time,
	// with smaller numbers and an allowance for the time that calls take.
	Virtual bool

	// Unit is the window of the limits in the suite, in whole seconds up to
	// an hour. 0 means a minute. In real time the suite lasts about four
	// units, and a handful of calls must take well under one.
	Unit time.Duration

	// Grain is how much longer than a Unit a hit may count in a window of more than
	// 128: the length of a segment. 0 means Unit/60.
	Grain time.Duration

	// NoQuotas, NoConcurrent, NoUnits and NoShadows say what the limiter cannot do.
	// What it lacks, it refuses with limiter.ErrInvalid.
	NoQuotas, NoConcurrent, NoUnits, NoShadows bool

	// Histories is how many random histories of requests the limiter is held to. 0
	// means 4 of 2,500 requests in virtual time; in real time it is always 1, of
	// 120.
	Histories int

	// Restart closes the limiter properly and returns one that continues with its
	// counts. nil: counts are not kept.
	Restart func(t testing.TB, l limiter.Limiter) limiter.Limiter

	// Crash is Restart after a kill -9. nil: counts are not kept.
	Crash func(t testing.TB, l limiter.Limiter) limiter.Limiter
	// CrashLoss is the most cost that one crash may charge to a subject without
	// admitting it, in a window with limit n.
	CrashLoss func(n int64) int64

	// Step sets the clock of the limiter forward, or back if d is negative, and
	// with it the clock of a client that tells a server of periods. nil: there is
	// no clock that can be set. In real time only Step gets a quota to the end of
	// its period.
	Step func(t testing.TB, l limiter.Limiter, d time.Duration)

	// Peer returns another instance on the same state, such as another process
	// would be. nil: processes share nothing, and requests in progress end at a
	// Restart and a Crash.
	Peer func(t testing.TB, l limiter.Limiter) limiter.Limiter
	// Kill makes an instance that Peer returned die, without freeing its slots. nil:
	// that cannot be checked.
	Kill func(t testing.TB, l limiter.Limiter)
	// SlotLife is limiter.SlotLife, or shorter in tests: in real time a Unit at
	// most. 0 means limiter.SlotLife.
	SlotLife time.Duration
}

// rule is one sentence of the contract.
type rule struct {
	name  string
	needs func(Harness) string // why it cannot run, or ""
	check func(*env)
}

func always(Harness) string { return "" }

func virtual(h Harness) string {
	if h.Virtual {
		return ""
	}
	return "needs virtual time"
}

// allOf returns the first reason.
func allOf(needs ...func(Harness) string) func(Harness) string {
	return func(h Harness) string {
		for _, need := range needs {
			if why := need(h); why != "" {
				return why
			}
		}
		return ""
	}
}

func needsQuotas(h Harness) string { return lacking(h.NoQuotas, "quotas") }
func needsConcurrent(h Harness) string {
	return lacking(h.NoConcurrent, "limits on requests in progress")
}
func needsUnits(h Harness) string   { return lacking(h.NoUnits, "units") }
func needsShadows(h Harness) string { return lacking(h.NoShadows, "shadows") }

func lacking(lacks bool, what string) string {
	if lacks {
		return "it has no " + what
	}
	return ""
}

// Run checks every rule of the contract.
func Run(t *testing.T, h Harness) {
	if h.New == nil {
		t.Fatal("limitertest: Harness.New is required")
	}
	if h.Unit == 0 {
		h.Unit = time.Minute
	}
	if h.Unit < time.Second || h.Unit > time.Hour || h.Unit%time.Second != 0 {
		t.Fatalf("limitertest: Harness.Unit %v is not a whole number of seconds up to an hour", h.Unit)
	}
	if h.Grain == 0 {
		h.Grain = h.Unit / 60
	}
	if h.Grain < 0 {
		t.Fatalf("limitertest: Harness.Grain %v is negative", h.Grain)
	}
	if h.Histories == 0 {
		h.Histories = 4
	}
	if h.SlotLife == 0 {
		h.SlotLife = limiter.SlotLife
	}
	var wg sync.WaitGroup
	for _, r := range rules() {
		run := func() {
			t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
				switch why := r.needs(h); {
				case why != "":
					t.Skip("not checked: " + why)
				case h.Virtual:
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { r.check(newEnv(t, h)) })
				default:
					r.check(newEnv(t, h))
				}
			})
		}
		if h.Virtual {
			run()
		} else {
			wg.Go(run) // rules that mostly sleep, all at once: -parallel counts processors
		}
	}
	wg.Wait()
}

func rules() []rule {
	var all []rule
	for _, group := range [][]rule{
		windowRules, retryRules, quotaRules, concurrentRules, unitRules, shadowRules, atomicRules, inputRules, lackRules,
		planRules, historyRules, keepRules, clockRules, processRules, settleRules, resettleRules,
	} {
		all = append(all, group...)
	}
	return all
}
