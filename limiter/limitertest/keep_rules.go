package limitertest

import (
	"math/rand/v2"
	"strconv"
	"time"
)

var keepRules = []rule{
	{"a restart loses no count and adds none", needsRestart, restarts},
	{"a crash never admits more than N", needsCrash, crashes},
	{"a crash charges at most CrashLoss for nothing", needsCrash, crashLoss},
	{"what a crash charged leaves after one window", needsCrash, crashDrains},
}

func needsRestart(h Harness) string {
	if h.Restart == nil {
		return "counts do not survive a restart (Harness.Restart)"
	}
	return ""
}

func needsCrash(h Harness) string {
	if h.Crash == nil {
		return "counts do not survive a crash (Harness.Crash)"
	}
	return ""
}

func restarts(e *env) {
	const rule = "a restart loses no count and adds none"
	r := with(ask("restart", e.limit(10), e.long(30)), "owner of restart", e.long(40))
	for i := range int64(4) {
		e.admit(rule, 2, r)
		before, asked := e.peek(r), time.Now()
		e.l = e.Restart(e.TB, e.l)
		e.remaining(rule, r, 8-2*i, 28-2*i, 38-2*i)
		after := e.peek(r)
		took := time.Since(asked) // a restart is not quick everywhere
		for w := range after.N {
			if got := after.Windows[w].Reset; (got - (before.Windows[w].Reset - took)).Abs() > 4*e.lag {
				e.Errorf("hits leave when they would have left without the restart: Reset of window %d was %v and is %v", w, before.Windows[w].Reset, got)
			}
		}
	}
	e.l = e.Restart(e.TB, e.l)
	e.admit(rule, 2, r)
	e.refuse(rule, r)
}

// crashes kills the limiter at random times while it is offered more than the
// limit.
func crashes(e *env) {
	n := e.load()
	rng := rand.New(rand.NewPCG(9, 11))
	rounds, windows := 5, time.Duration(5)
	if !e.Virtual {
		rounds, windows = 1, 3
	}
	for round := range rounds {
		r := ask("crash "+strconv.Itoa(round), e.limit(n))
		var admitted []Hit
		for _, h := range poisson(rng, n, e.Unit, 3) {
			if h.At > windows*e.Unit {
				break
			}
			e.until(time.Duration(round)*10*e.Unit + h.At)
			at := e.now()
			if e.take(costing(r, h.Cost)).Allowed {
				admitted = append(admitted, Hit{at, h.Cost})
			}
			if rng.IntN(int(n)) == 0 {
				e.l = e.Crash(e.TB, e.l)
			}
		}
		e.check(admitted, e.limit(n))
		if len(admitted) == 0 {
			e.Errorf("a limiter that crashes now and then admits something")
		}
	}
}

func crashLoss(e *env) {
	const rule = "a crash charges at most CrashLoss for nothing"
	for _, n := range []int64{1, 10, 60, 1000} {
		r := ask("loss "+strconv.FormatInt(n, 10), e.long(n))
		used := (n + 2) / 3
		e.admit(rule, used, r)
		e.l = e.Crash(e.TB, e.l)
		loss := int64(0)
		if e.CrashLoss != nil {
			loss = e.CrashLoss(n)
		}
		if left := e.peek(r).Windows[0].Remaining; left > n-used || left < n-used-loss {
			e.Errorf("%s: N %d, %d used, Remaining is %d, want %d less at most %d", rule, n, used, left, n-used, loss)
		}
	}
}

func crashDrains(e *env) {
	r := ask("drain", e.limit(20))
	e.admit("an unused window admits N", 1, r)
	e.l = e.Crash(e.TB, e.l)
	e.peek(r)
	e.sleep(e.Unit + e.Grain + time.Millisecond)
	e.remaining("what a crash charged leaves after one window", r, 20)
}
