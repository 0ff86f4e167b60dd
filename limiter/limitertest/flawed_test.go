package limitertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// flawed is a Log that is asked, or answers, wrongly. Fields that are nil are
// without a flaw.
type flawed struct {
	*Log
	hears  func(r limiter.Request) limiter.Request // what it makes of a request
	says   func(d limiter.Decision) limiter.Decision
	takes  func(f *flawed, r limiter.Request) (limiter.Decision, error)
	peeks  func(f *flawed, r limiter.Request) (limiter.Decision, error)
	settle func(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error)
}

func (f *flawed) heard(r limiter.Request) limiter.Request {
	if f.hears != nil {
		return f.hears(r)
	}
	return r
}

func (f *flawed) said(d limiter.Decision, err error) (limiter.Decision, error) {
	if err == nil && f.says != nil {
		d = f.says(d)
	}
	return d, err
}

func (f *flawed) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	if f.takes != nil {
		return f.takes(f, r)
	}
	return f.said(f.Log.Take(ctx, f.heard(r)))
}

func (f *flawed) Peek(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	if f.peeks != nil {
		return f.peeks(f, r)
	}
	return f.said(f.Log.Peek(ctx, f.heard(r)))
}

func (f *flawed) Settle(ctx context.Context, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	if f.settle != nil {
		return f.settle(f, r, d, s)
	}
	return f.Log.Settle(ctx, f.heard(r), d, s)
}

// harnessOf returns a harness of a flawed limiter.
func harnessOf(f flawed) Harness {
	h := exactLog()
	h.New = func(testing.TB) limiter.Limiter {
		g := f
		g.Log = &Log{}
		if f.Log != nil {
			g.Log.past.leaves = f.Log.past.leaves
		}
		return &g
	}
	h.Step = func(_ testing.TB, l limiter.Limiter, d time.Duration) { l.(*flawed).skew += d }
	h.Restart = func(t testing.TB, l limiter.Limiter) limiter.Limiter { endAll(t, l.(*flawed).Log); return l }
	h.Crash = h.Restart
	return h
}

// leaving late, early, or never.
func leave(leaves func(l apikey.Limit, at time.Time) time.Time) flawed {
	return flawed{Log: &Log{past: history{leaves: func(l apikey.Limit, at time.Time) time.Time {
		if l.Window > 0 || l.Concurrent {
			return leaves(l, at)
		}
		return leaving(l, at)
	}}}}
}

// mishears changes each limit.
func mishears(change func(subject string, l *apikey.Limit)) flawed {
	return flawed{hears: func(r limiter.Request) limiter.Request {
		r.Demands = slices.Clone(r.Demands)
		for i, q := range r.Demands {
			r.Demands[i].Limits = slices.Clone(q.Limits)
			for j := range q.Limits {
				change(q.Subject, &r.Demands[i].Limits[j])
			}
		}
		return r
	}}
}

// force charges a request whatever its limits say.
func (f *flawed) force(r limiter.Request) limiter.Decision {
	wide := mishears(func(_ string, l *apikey.Limit) {
		switch l.Shadow = false; {
		case l.Window > 0:
			l.N = apikey.MaxLimitN
		case l.Period != "":
			l.N = apikey.MaxQuotaN
		default:
			l.N = apikey.MaxConcurrent
		}
	}).hears(r)
	d, _ := f.Log.Take(context.Background(), wide)
	return d
}

func alone(q limiter.Demand, l apikey.Limit, r limiter.Request) limiter.Request {
	r.Demands = []limiter.Demand{{Subject: q.Subject, Limits: []apikey.Limit{l}}}
	return r
}

// status adds what Peek says of the limits to a decision.
func (f *flawed) status(r limiter.Request, d limiter.Decision) limiter.Decision {
	now, _ := f.Log.Peek(context.Background(), r)
	for i := range d.Windows {
		now.Windows[i].Violated = d.Windows[i].Violated
	}
	d.Windows, d.N = now.Windows, now.N
	return d
}

// onePerLimit decides limit by limit, and charges those that come before the one
// that refuses.
func onePerLimit(f *flawed, r limiter.Request) (limiter.Decision, error) {
	whole, err := f.Log.Peek(context.Background(), r)
	if err != nil {
		return whole, err
	}
	for _, q := range r.Demands {
		for _, l := range q.Limits {
			if d, _ := f.Log.Take(context.Background(), alone(q, l, r)); d.Allowed {
				whole.At = d.At
			}
		}
	}
	return f.status(r, whole), nil
}

// chargesRefused charges the request in any case.
func chargesRefused(f *flawed, r limiter.Request) (limiter.Decision, error) {
	d, err := f.Log.Take(context.Background(), r)
	if err == nil && !d.Allowed {
		f.force(r)
	}
	return d, err
}

// firstOnly charges the first demand, and asks no other.
func firstOnly(f *flawed, r limiter.Request) (limiter.Decision, error) {
	if len(r.Demands) == 0 {
		return f.Log.Take(context.Background(), r)
	}
	d, err := f.Log.Take(context.Background(), limiter.Request{Demands: r.Demands[:1], Cost: r.Cost, Amounts: r.Amounts})
	if err != nil {
		return d, err
	}
	return f.status(r, d), nil
}

// getThenSet decides, and charges when others have decided, too.
func getThenSet(f *flawed, r limiter.Request) (limiter.Decision, error) {
	d, err := f.Log.Peek(context.Background(), r)
	if err != nil || !d.Allowed {
		return d, err
	}
	time.Sleep(time.Nanosecond)
	charged := f.force(r)
	d.At, d.Slot = charged.At, charged.Slot
	return f.status(r, d), nil
}

// eachShadow charges those shadows that admit the request.
func eachShadow(f *flawed, r limiter.Request) (limiter.Decision, error) {
	d, err := f.Log.Peek(context.Background(), r)
	if err != nil || !d.Allowed {
		return d, err
	}
	i := 0
	for _, q := range r.Demands {
		for _, l := range q.Limits {
			if !d.Windows[i].Violated {
				d.At = f.force(alone(q, l, limiter.Request{Cost: r.Cost, Amounts: r.Amounts})).At
			}
			i++
		}
	}
	return f.status(r, d), nil
}

// refusesRaises is what Settle once did.
func refusesRaises(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	if more := s.Cost - max(r.Cost, 1); more > 0 {
		if seen, err := f.Log.Peek(context.Background(), costing(r, more)); err != nil || !seen.Allowed {
			return seen, err
		}
	}
	return f.Log.Settle(context.Background(), r, d, s)
}

// raisesNow charges the difference when it is told of it.
func raisesNow(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	if more := s.Cost - max(r.Cost, 1); more > 0 {
		f.force(costing(r, more))
		s.Cost = max(r.Cost, 1)
	}
	return f.Log.Settle(context.Background(), r, d, s)
}

// backOf gives back another amount than it should.
func backOf(to func(was, cost int64) int64) func(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	return func(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
		s.Cost = max(to(max(r.Cost, 1), s.Cost), 0)
		return f.Log.Settle(context.Background(), r, d, s)
	}
}

// backOfNewest gives back what was charged last, if not what it should.
func backOfNewest(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	each(r, func(_ int, c count, _ apikey.Limit) {
		if all := f.past.charges[c]; len(all) > 0 {
			x := all[len(all)-1]
			x.cost = max(x.cost-(max(r.Cost, 1)-s.Cost), 0)
		}
	})
	after, err := f.Log.Peek(context.Background(), limiter.Request{Demands: r.Demands})
	after.Allowed, after.RetryAfter = true, 0
	for i := range after.Windows {
		after.Windows[i].Violated = false
	}
	return after, err
}

// freesAny counts requests in progress up and down, and does not know which.
func freesAny(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	if s.Over {
		each(r, func(_ int, c count, l apikey.Limit) {
			for _, x := range f.past.charges[c] {
				if l.Concurrent && !x.over {
					x.over = true
					return
				}
			}
		})
	}
	return f.Log.Settle(context.Background(), r, limiter.Decision{At: d.At}, s)
}

// settlesShadows charges those that had refused.
func settlesShadows(f *flawed, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	for _, q := range r.Demands {
		for _, l := range q.Limits {
			if c := countOf(q.Subject, l); l.Shadow && !shadowsCharged(r, d) {
				f.past.charges[c] = append(f.past.charges[c], &charge{of: c, leaves: leaving(l, f.now()), cost: s.Cost})
			}
		}
	}
	return f.Log.Settle(context.Background(), r, d, s)
}

// lax accepts anything.
func lax(d limiter.Decision, err error) (limiter.Decision, error) {
	if errors.Is(err, limiter.ErrInvalid) {
		return limiter.Decision{Allowed: true}, nil
	}
	return d, err
}

// aliasing keeps the subjects that it is given, without their memory.
func aliasing() flawed {
	var seen []string
	return flawed{hears: func(r limiter.Request) limiter.Request {
		r.Demands = slices.Clone(r.Demands)
		for i, q := range r.Demands {
			at := slices.Index(seen, q.Subject)
			if at < 0 {
				at, seen = len(seen), append(seen, q.Subject)
			}
			r.Demands[i].Subject = fmt.Sprint("subject ", at)
		}
		return r
	}}
}

// startsAt charges a new limit for what it has not seen.
func startsAt(cost int64) flawed {
	return flawed{takes: func(f *flawed, r limiter.Request) (limiter.Decision, error) {
		each(r, func(_ int, c count, l apikey.Limit) {
			if _, known := f.past.charges[c]; !known {
				f.force(costing(ask(strings.Clone(c.subject), l), cost))
			}
		})
		return f.Log.Take(context.Background(), r)
	}}
}

// firstN believes the N that it has heard first.
func firstN() flawed {
	known := map[count]int64{}
	return mishears(func(subject string, l *apikey.Limit) {
		c := countOf(subject, *l)
		if known[c] == 0 {
			known[c] = l.N
		}
		l.N = known[c]
	})
}

// byPlan keeps counts for each set of limits.
func byPlan() flawed {
	return flawed{hears: func(r limiter.Request) limiter.Request {
		r.Demands = slices.Clone(r.Demands)
		for i, q := range r.Demands {
			for _, l := range q.Limits {
				r.Demands[i].Subject += l.Name
			}
		}
		return r
	}}
}

// impatient charges a request whose context has ended, and says that it has not.
type impatient struct{ *Log }

func (l impatient) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	d, err := l.Log.Take(context.WithoutCancel(ctx), r)
	if ctx.Err() != nil {
		return limiter.Decision{}, ctx.Err()
	}
	return d, err
}

// forgetsUnnamed drops what a request does not name.
func forgetsUnnamed(f *flawed, r limiter.Request) (limiter.Decision, error) {
	for c := range f.past.charges {
		subject, named := false, false
		each(r, func(_ int, other count, _ apikey.Limit) {
			subject, named = subject || other.subject == c.subject, named || other == c
		})
		if subject && !named {
			delete(f.past.charges, c)
		}
	}
	return f.Log.Take(context.Background(), r)
}
