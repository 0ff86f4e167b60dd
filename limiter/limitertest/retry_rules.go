package limitertest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

var retryRules = []rule{
	{"a lone client that waits RetryAfter is admitted", always, retryAdmits},
	{"nothing shorter than RetryAfter is enough", virtual, retryExact},
	{"a cost above N is never admitted", always, never},
	{longestWait, always, waits},
}

const longestWait = "a refusal of several limits has the longest wait, then Unknown, then Never"

const retryHonest = "a lone client that waits RetryAfter is admitted"

func retryAdmits(e *env) {
	r := ask("retry", e.limit(4))
	e.admit("an unused window admits N", 2, r)
	e.until(e.Unit / 3)
	e.admit("an unused window admits N", 2, r)
	for _, cost := range []int64{1, 2, 2} { // after the first burst, the second, and the first retry
		d := e.refuse("a full window refuses", costing(r, cost))
		e.sleep(d.RetryAfter)
		e.admit(retryHonest, 1, costing(r, cost))
	}
}

// retryExact fills the windows of two to four subjects at random and asks for
// random costs.
func retryExact(e *env) {
	rng := rand.New(rand.NewPCG(4, 29))
	for round := range 60 {
		name := "exact retry " + string(rune('A'+round))
		r := with(ask(name, e.limit(20), apikey.Limit{Name: "other", N: 30, Window: 3 * e.Unit}), "owner of "+name, e.limit(25))
		for i := range round % 3 {
			r = with(r, fmt.Sprintf("more of %s %d", name, i), apikey.Limit{Name: "more", N: int64(22 + 150*i), Window: time.Duration(2+i) * e.Unit})
		}
		for range 40 {
			e.sleep(time.Duration(rng.Int64N(int64(e.Unit / 8))))
			if rng.IntN(3) == 0 {
				e.take(costing(with(ask("friend of "+name, e.limit(30)), "owner of "+name, e.limit(25)), 1+rng.Int64N(6)))
			}
			e.take(costing(r, 1+rng.Int64N(5)))
		}
		d := e.take(costing(r, 20))
		if d.Allowed {
			continue
		}
		e.sleep(d.RetryAfter - 1)
		if got := e.peek(costing(r, 20)); got.Allowed || got.RetryAfter != 1 {
			e.Fatalf("nothing shorter than RetryAfter is enough: 1ns before %v the answer is %+v", d.RetryAfter, got)
		}
		e.sleep(1)
		e.admit(retryHonest, 1, costing(r, 20))
	}
}

func never(e *env) {
	r := ask("never", e.limit(5), e.long(50))
	if d := e.take(costing(r, 6)); d.Allowed || d.RetryAfter != limiter.Never || !d.Windows[0].Violated || d.Windows[1].Violated {
		e.Errorf("a cost above N is never admitted, and RetryAfter is negative: got %+v", d)
	}
	if d := e.take(costing(r, 1<<62)); d.Allowed || d.RetryAfter != limiter.Never {
		e.Errorf("a cost above N is never admitted, however large: got %+v", d)
	}
	e.remaining("a refused request is not charged", r, 5, 50)
	e.admit("a cost of N fits an unused window", 1, costing(r, 5))
	if d := e.take(costing(r, 6)); d.RetryAfter != limiter.Never {
		e.Errorf("a cost above N stays inadmissible when the window is full: got %+v", d)
	}
}

func waits(e *env) {
	r := with(ask("waits", e.limit(1)), "owner of waits", e.long(1))
	asked := e.now()
	e.admit(longestWait, 1, r)
	long := e.refuse(longestWait, r).RetryAfter
	if want := 20 * e.Unit; long > want+e.jitter() || long < want-(e.now()-asked)-e.jitter() {
		e.Errorf("%s: want %v, got %v", longestWait, want, long)
	}
	expect := func(what string, r limiter.Request, want time.Duration) {
		if d := e.refuse(longestWait, r); d.RetryAfter != want {
			e.Errorf("%s: %s: %v", longestWait, what, d)
		}
	}
	if !e.NoConcurrent {
		r = with(r, "busy", atOnceLimit(1))
		e.take(ask("busy", atOnceLimit(1)))
		expect("Unknown is longer than any", r, limiter.Unknown)
	}
	if !e.NoQuotas {
		credit := e.quota(1, apikey.Ever)
		e.take(ask("poor", credit))
		expect("Never is the longest", with(r, "poor", credit), limiter.Never)
	}
	expect("Never is the longest", costing(r, 2), limiter.Never)
}
