package limiter_test

import (
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// oracle is the contract in its plainest form: for each subject and limit, a
// list of what was charged, and when. It is written from the contract, and uses
// no code of the limiter.
type oracle struct {
	counts map[string][]*oracleCount // of a subject
	slots  uint64
}

type oracleCount struct {
	limit   apikey.Limit // as it was last asked for in earnest
	charges []oracleCharge
	slots   []uint64
}

// oracleCharge is what was charged at one place: the instant in a window of at
// most 128, the beginning of the segment in a larger one, that of the period in
// a quota.
type oracleCharge struct {
	place, leaves int64
	cost          int64
}

func exactly(l apikey.Limit) bool { return l.Window > 0 && l.N <= 128 }

// place returns where a charge of l at t counts, and until when.
func place(l apikey.Limit, t int64) oracleCharge {
	switch {
	case exactly(l):
		return oracleCharge{place: t, leaves: t + int64(l.Window)}
	case l.Window > 0:
		k := int64(144)
		if l.Window <= time.Hour {
			k = 60
		}
		s := int64(l.Window) / k
		if s*k < int64(l.Window) {
			s++
		}
		return oracleCharge{place: t / s * s, leaves: (t/s + k + 1) * s}
	case l.Period == apikey.Ever:
		return oracleCharge{leaves: 1<<63 - 1}
	}
	from, end, err := l.Span(time.Unix(0, t))
	if err != nil {
		panic(err)
	}
	return oracleCharge{place: from.UnixNano(), leaves: end.UnixNano()}
}

// of returns what is known of the limit, and keeps it if it is asked in earnest.
func (o *oracle) of(subject string, l apikey.Limit, now int64, keep bool) *oracleCount {
	for _, c := range o.counts[subject] {
		if !c.limit.Same(l) {
			continue
		}
		if exactly(c.limit) != exactly(l) {
			if !keep {
				c = &oracleCount{limit: c.limit, charges: slices.Clone(c.charges)}
			}
			c.convert(l, now)
		}
		if keep {
			c.limit = l
		}
		return c
	}
	c := &oracleCount{limit: l}
	if keep {
		o.counts[subject] = append(o.counts[subject], c)
	}
	return c
}

// as returns what is known of the limit, as it was last asked for.
func (o *oracle) as(subject string, l apikey.Limit) *oracleCount {
	for _, c := range o.counts[subject] {
		if c.limit.Same(l) {
			return c
		}
	}
	c := &oracleCount{limit: l}
	o.counts[subject] = append(o.counts[subject], c)
	return c
}

// convert dates what a segment counted at the latest time that it can have had.
func (c *oracleCount) convert(l apikey.Limit, now int64) {
	was := c.charges
	c.charges = nil
	for _, p := range was {
		if p.leaves <= now {
			continue
		}
		at := p.place
		if exactly(l) {
			s := place(c.limit, at)
			next := at
			for step := int64(c.limit.Window) / 200; place(c.limit, next) == s; next += step {
			}
			at = min(place(c.limit, next).place-1, now)
		}
		c.charge(l, at, p.cost)
	}
}

func (c *oracleCount) charge(l apikey.Limit, at, cost int64) {
	p := place(l, at)
	for i := range c.charges {
		if c.charges[i].place == p.place {
			c.charges[i].cost = max(c.charges[i].cost+cost, 0)
			return
		}
	}
	if p.cost = cost; cost > 0 {
		c.charges = append(c.charges, p)
	}
}

func (c *oracleCount) counted(now int64) (n int64) {
	for _, p := range c.charges {
		if p.leaves > now {
			n += p.cost
		}
	}
	return n + int64(len(c.slots))
}

func (c *oracleCount) status(now int64, l apikey.Limit) limiter.Status {
	st := limiter.Status{Remaining: max(l.N-c.counted(now), 0)}
	if l.Concurrent || l.Period == apikey.Ever {
		return st
	}
	for _, p := range c.charges {
		if left := time.Duration(p.leaves - now); left > 0 && p.cost > 0 && (st.Reset == 0 || left < st.Reset) {
			st.Reset = left
		}
	}
	return st
}

// wait tries all instants when something leaves.
func (c *oracleCount) wait(now, need int64, l apikey.Limit) time.Duration {
	switch {
	case need > l.N:
		return limiter.Never
	case l.Concurrent:
		return limiter.Unknown
	case l.Period == apikey.Ever:
		return limiter.Never
	}
	first := int64(0)
	for _, p := range c.charges {
		if t := p.leaves; t > now && (first == 0 || t < first) && c.counted(t)+need <= l.N {
			first = t
		}
	}
	return time.Duration(first - now)
}

// costOf is -1 for a limit that has no say.
func costOf(r limiter.Request, l apikey.Limit) int64 {
	if l.Concurrent {
		return 1
	}
	if l.Unit == "" {
		return max(r.Cost, 1)
	}
	for _, a := range r.Amounts {
		if a.Unit == l.Unit {
			return a.N
		}
	}
	return -1
}

// decide is Take, or Peek.
func (o *oracle) decide(r limiter.Request, now int64, take bool) (d limiter.Decision) {
	type asked struct {
		c      *oracleCount
		l      apikey.Limit
		cost   int64
		shadow bool
	}
	var all []asked
	for _, q := range r.Demands {
		for _, l := range q.Limits {
			all = append(all, asked{o.of(q.Subject, l, now, take), l, costOf(r, l), l.Shadow || r.Shadow})
		}
	}
	d.Allowed, d.N = true, len(all)
	shadows, never, unknown := true, false, false
	for i, a := range all {
		need := max(a.cost, 1)
		if a.cost < 0 || a.c.counted(now)+need <= a.l.N {
			continue
		}
		d.Windows[i].Violated = true
		if a.shadow {
			shadows = false
			continue
		}
		d.Allowed = false
		switch wait := a.c.wait(now, need, a.l); wait {
		case limiter.Never:
			never = true
		case limiter.Unknown:
			unknown = true
		default:
			d.RetryAfter = max(d.RetryAfter, wait)
		}
	}
	if unknown {
		d.RetryAfter = limiter.Unknown
	}
	if never {
		d.RetryAfter = limiter.Never
	}
	if d.Allowed && take {
		d.At = now
		o.slots++
		for _, a := range all {
			switch {
			case a.cost <= 0 || a.shadow && !shadows:
			case a.l.Concurrent:
				a.c.slots, d.Slot = append(a.c.slots, o.slots), o.slots
			default:
				a.c.charge(a.l, now, a.cost)
			}
		}
	}
	for i, a := range all {
		st := a.c.status(now, a.l)
		d.Windows[i].Remaining, d.Windows[i].Reset = st.Remaining, st.Reset
	}
	return d
}

// settle follows a decision of its own.
func (o *oracle) settle(r limiter.Request, taken limiter.Decision, s limiter.Settlement, now int64) (d limiter.Decision) {
	shadows, i := true, 0
	for _, q := range r.Demands {
		for _, l := range q.Limits {
			shadows = shadows && !((l.Shadow || r.Shadow) && taken.Windows[i].Violated)
			i++
		}
	}
	d.Allowed = true
	for _, q := range r.Demands {
		for _, l := range q.Limits {
			c := o.as(q.Subject, l)
			is := costOf(limiter.Request{Cost: s.Cost, Amounts: s.Amounts}, l)
			if l.Unit == "" {
				is = s.Cost
			}
			was := costOf(r, l)
			switch {
			case (l.Shadow || r.Shadow) && !shadows:
			case l.Concurrent:
				if s.Over {
					c.slots = slices.DeleteFunc(c.slots, func(id uint64) bool { return id == taken.Slot })
				}
			case is >= 0 && was >= 0 && place(c.limit, taken.At).leaves > now:
				c.charge(c.limit, taken.At, is-was)
			}
			d.Windows[d.N] = o.of(q.Subject, l, now, false).status(now, l)
			d.N++
		}
	}
	return d
}
