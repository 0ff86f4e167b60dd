package limitertest

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

var keepRules = []rule{
	{"a restart loses no count and adds none", needsRestart, restarts},
	{"a crash never admits more than N", needsCrash, crashes},
	{"a crash charges at most CrashLoss for nothing", needsCrash, crashLoss},
	{"what a crash charged leaves after one window", needsCrash, crashDrains},
	{endWith, allOf(needsConcurrent, ownProcess), slotsEnd},
}

func needsRestart(h Harness) string {
	if h.Restart == nil {
		return "counts do not survive a restart (Harness.Restart)"
	}
	return ""
}

const endWith = "requests in progress end with the only process"

func ownProcess(h Harness) string {
	if h.Restart == nil && h.Crash == nil || h.Peer != nil {
		return "its state is not that of one process (Harness.Restart or Crash, and no Peer)"
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
	short, large := e.limit(10), apikey.Limit{Name: "large", N: 400, Window: 5 * e.Unit}
	if !e.Virtual { // restarts may take longer than a unit, and nothing is to leave meanwhile
		short.Window, large.Window = 15*e.Unit, 25*e.Unit
	}
	key := []apikey.Limit{short, e.long(30)}
	if !e.NoQuotas {
		key = append(key, e.quota(300, apikey.Monthly), e.quota(500, apikey.Ever))
	}
	r := with(ask("restart", key...), "owner of restart", e.long(40), large)
	want := func(used int64) (left []int64) {
		each(r, func(_ int, _ count, l apikey.Limit) { left = append(left, l.N-used) })
		return left
	}
	for i := range int64(4) {
		e.admit(rule, 2, r)
		before, asked := e.peek(r), time.Now()
		e.l = e.Restart(e.TB, e.l)
		e.remaining(rule, r, want(2*i+2)...)
		after := e.peek(r)
		took := time.Since(asked) // a restart is not quick everywhere
		for w := range after.N {
			left := max(before.Windows[w].Reset-took, 0) // 0 for a quota of Ever
			if got := after.Windows[w].Reset; (got - left).Abs() > 4*e.lag+e.jitter() {
				e.Errorf("hits leave when they would have left without the restart: Reset of limit %d was %v and is %v", w, before.Windows[w].Reset, got)
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
		limits, spent := []apikey.Limit{e.limit(n)}, int64(0)
		if round == 1 { // a large one
			limits[0].N *= large
		}
		if !e.NoQuotas {
			limits = append(limits, e.quota(4*n, apikey.Ever))
		}
		r := ask("crash "+strconv.Itoa(round), limits...)
		var admitted []Hit
		for _, h := range poisson(rng, n, e.Unit, 3) {
			if h.At > windows*e.Unit {
				break
			}
			e.until(time.Duration(round)*10*e.Unit + h.At)
			at := e.now()
			if round == 1 {
				h.Cost *= large
			}
			if e.take(costing(r, h.Cost)).Allowed {
				admitted = append(admitted, Hit{at, h.Cost})
				spent += h.Cost
			}
			if rng.IntN(int(n)) == 0 {
				e.l = e.Crash(e.TB, e.l)
			}
		}
		e.check(admitted, limits[0])
		if !e.NoQuotas && spent > limits[1].N {
			e.Errorf("a crash never admits more than N: %d of %d credits were spent", spent, limits[1].N)
		}
		if len(admitted) == 0 {
			e.Errorf("a limiter that crashes now and then admits something")
		}
	}
}

func crashLoss(e *env) {
	const rule = "a crash charges at most CrashLoss for nothing"
	for _, n := range []int64{1, 10, 60, 1000} {
		r := ask("loss "+strconv.FormatInt(n, 10), e.long(n))
		if !e.NoQuotas {
			r.Demands[0].Limits = append(r.Demands[0].Limits, e.quota(n, apikey.Daily), e.quota(n, apikey.Ever))
		}
		used := (n + 2) / 3
		e.admit(rule, used, r)
		e.l = e.Crash(e.TB, e.l)
		loss := int64(0)
		if e.CrashLoss != nil {
			loss = e.CrashLoss(n)
		}
		d := e.peek(r)
		for i := range d.N {
			if left := d.Windows[i].Remaining; left > n-used || left < n-used-loss {
				e.Errorf("%s: N %d, %d used, Remaining of limit %d is %d, want %d less at most %d", rule, n, used, i, left, n-used, loss)
			}
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

func slotsEnd(e *env) {
	r := ask("ends", atOnceLimit(2), e.long(50))
	again := e.Restart
	if e.Crash != nil {
		again = e.Crash
	}
	d := e.admit(endWith, 2, r)
	e.refuse(endWith, r)
	e.l = again(e.TB, e.l)
	e.admit(endWith, 2, r)
	e.refuse(endWith, r)
	e.free(r, limiter.Decision{Slot: d.Slot + 1<<32}) // of no request
	e.refuse(endWith, r)
}
