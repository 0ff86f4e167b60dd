package limitertest

import (
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// mostExact is the largest window that is exact in both directions.
const mostExact = 128

// oracle holds each answer of a limiter against the history of those before it.
// In virtual time the history leaves one right answer, unless a window counts by
// segments. In real time a call may have been decided at any time that it took.
type oracle struct {
	*env
	past   history
	coarse map[count]bool // was a window of more than 128
	last   limiter.Decision
}

// taken is a request that was admitted, at the cost that it has.
type taken struct {
	by   limiter.Limiter
	r    limiter.Request
	d    limiter.Decision
	paid paid
}

func newOracle(e *env) *oracle { return &oracle{env: e, coarse: map[count]bool{}} }

// slack is how much longer than it should a charge may count.
func (o *oracle) slack(c count, l apikey.Limit) time.Duration {
	if o.coarse[c] {
		l.N = mostExact + 1
	}
	return o.late(l)
}

// late is how much longer than it should a charge may count.
func (e *env) late(l apikey.Limit) (d time.Duration) {
	if l.Window > 0 && l.N > mostExact {
		d = time.Duration(float64(e.Grain)*float64(l.Window)/float64(e.Unit)) + time.Microsecond // segments may be rounded up
	}
	return d + e.jitter()
}

// jitter is how far clocks may be apart.
func (e *env) jitter() time.Duration {
	if e.Virtual {
		return 0
	}
	return e.Unit / 500
}

func (o *oracle) know(r limiter.Request) {
	each(r, func(_ int, c count, l apikey.Limit) {
		o.coarse[c] = o.coarse[c] || l.N > mostExact
	})
}

// take asks, judges the answer, and records it. It returns nil after a refusal.
func (o *oracle) take(rule string, r limiter.Request) *taken {
	o.Helper()
	o.know(r)
	asked := o.clock()
	d := o.env.take(r)
	told := o.clock()
	o.last = d
	o.judge(rule, r, d, asked, told)
	if !d.Allowed {
		o.statuses(rule, r, d, asked, told)
		return nil
	}
	t := &taken{o.l, r, d, o.past.charge(r, d, asked, told)}
	holds := false
	each(r, func(i int, _ count, l apikey.Limit) { holds = holds || l.Concurrent && t.paid[i] != nil })
	if (d.Slot != 0) != holds {
		o.Fatalf("%s: Slot names the place of a request in progress, and is 0 if it has none: %s got Slot %d: %v", rule, describe(r), d.Slot, d)
	}
	o.statuses(rule, r, d, asked, told)
	return t
}

func (o *oracle) peek(rule string, r limiter.Request) {
	o.Helper()
	o.know(r)
	asked := o.clock()
	d := o.env.peek(r)
	told := o.clock()
	o.judge(rule, r, d, asked, told)
	o.statuses(rule, r, d, asked, told)
}

func (o *oracle) settle(rule string, t *taken, s limiter.Settlement) {
	o.Helper()
	asked := o.clock()
	d := o.settleAs(t.r, t.d, s)
	if t.paid.settle(t.r, s); s.Over {
		t.paid.end(t.r)
	}
	t.r = settledAt(t.r, s)
	o.statuses(rule, t.r, d, asked, o.clock())
}

// judge compares what was allowed, and who refused for how long.
func (o *oracle) judge(rule string, r limiter.Request, d limiter.Decision, asked, told time.Time) {
	o.Helper()
	least, most := o.past.decide(r, told, exactly), o.past.decide(r, asked, o.slack)
	if d.Allowed && !least.Allowed {
		o.Fatalf("%s: %s was admitted, and is to be refused: %v, want %v", rule, describe(r), d, least)
	}
	if !d.Allowed && most.Allowed {
		o.Fatalf("%s: %s was refused, and there is room: %v, want %v", rule, describe(r), d, most)
	}
	each(r, func(i int, _ count, l apikey.Limit) {
		if got := d.Windows[i].Violated; got != least.Windows[i].Violated && got != most.Windows[i].Violated {
			o.Fatalf("%s: %s: Violated of limit %d is %t: %v, want %v", rule, describe(r), i, got, d, least)
		}
	})
	if !d.Allowed && (exceeds(least.RetryAfter, d.RetryAfter, o.tolerance()) || exceeds(d.RetryAfter, most.RetryAfter, o.tolerance())) {
		o.Fatalf("%s: %s: RetryAfter is %v, want %v to %v", rule, describe(r), d, least.RetryAfter, most.RetryAfter)
	}
}

// statuses compares what is left.
func (o *oracle) statuses(rule string, r limiter.Request, d limiter.Decision, asked, told time.Time) {
	o.Helper()
	each(r, func(i int, c count, l apikey.Limit) {
		least, _ := o.past.decideOne(c, l, 0, told, exactly)
		most, _ := o.past.decideOne(c, l, 0, asked, o.slack)
		if got := d.Windows[i].Remaining; got > least.Remaining || got < most.Remaining {
			o.Fatalf("%s: %s: Remaining of limit %d is %d, want %d to %d: %v", rule, describe(r), i, got, most.Remaining, least.Remaining, d)
		}
		from, to := most.Reset-o.tolerance(), least.Reset+o.tolerance()
		if more := o.slack(c, l); l.Window > 0 && more > 0 {
			from, to = 0, to+more
		}
		if got := d.Windows[i].Reset; got < from || got > to {
			o.Fatalf("%s: %s: Reset of limit %d is %v, want %v to %v: %v", rule, describe(r), i, got, from, to, d)
		}
	})
}

// tolerance is how far the clocks that tell the end of a quota may be apart.
func (o *oracle) tolerance() time.Duration {
	if o.Virtual {
		return 0
	}
	return time.Second + 2*o.lag
}

// exceeds reports whether one wait is longer than another, and the tolerance.
func exceeds(a, b, tolerance time.Duration) bool {
	if a >= 0 && b >= 0 {
		b += tolerance
	}
	return longer(a, b)
}
