package redisstore

import (
	"fmt"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const mostDemands = 4

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: redisstore: %s", limiter.ErrInvalid, fmt.Sprintf(format, args...))
}

// checked is a request that was found to be valid.
type checked struct {
	r        *limiter.Request
	subjects []string // those with limits
	parts    [][]*part
	all      []part // in the order of the demands and their limits
}

// part is one limit of a request and what it is charged.
type part struct {
	*rule
	shadow bool
	idle   bool // it has no say
	cost   int64
}

func (l *Limiter) check(r *limiter.Request) (c checked, err error) {
	if r.Cost < 0 {
		return c, invalidf("Cost: %d is negative", r.Cost)
	}
	if err := checkAmounts("Amounts", r.Amounts); err != nil {
		return c, err
	}
	if len(r.Demands) > mostDemands {
		return c, invalidf("Demands: %d, at most %d are allowed", len(r.Demands), mostDemands)
	}
	c.r, c.all = r, make([]part, 0, limiter.MaxWindows)
	for i := range r.Demands {
		d := &r.Demands[i]
		if len(d.Limits) == 0 {
			continue
		}
		switch {
		case d.Subject == "":
			return c, invalidf("Demands[%d].Subject: it is empty", i)
		case len(d.Subject) > limiter.MaxSubject:
			return c, invalidf("Demands[%d].Subject: %d bytes, at most %d are allowed", i, len(d.Subject), limiter.MaxSubject)
		case len(d.Limits) > apikey.MaxLimits:
			return c, invalidf("Demands[%d].Limits: %d, at most %d are allowed", i, len(d.Limits), apikey.MaxLimits)
		case len(c.all)+len(d.Limits) > limiter.MaxWindows:
			return c, invalidf("Demands: more than %d limits in all", limiter.MaxWindows)
		}
		for k, s := range c.subjects {
			if s == d.Subject {
				return c, invalidf("Demands[%d].Subject: it is that of another demand (%d)", i, k)
			}
		}
		first := len(c.all)
		var parts []*part
		for k, limit := range d.Limits {
			rule, err := l.rules.of(limit)
			if err != nil {
				return c, fmt.Errorf("%w (Demands[%d].Limits[%d])", err, i, k)
			}
			if limit.Period == apikey.Ever && !l.credits {
				return c, invalidf("Demands[%d].Limits[%d].Period: Redis may forget credits: see LimiterOptions.Credits", i, k)
			}
			for _, o := range c.all[first:] {
				if o.id == rule.id {
					return c, invalidf("Demands[%d].Limits[%d]: it is the same as another", i, k)
				}
			}
			p := part{rule: rule, shadow: limit.Shadow || r.Shadow}
			p.cost, p.idle = costOf(limit, r.Cost, r.Amounts)
			c.all = append(c.all, p)
			parts = append(parts, &c.all[len(c.all)-1])
		}
		c.subjects, c.parts = append(c.subjects, d.Subject), append(c.parts, parts)
	}
	return c, nil
}

// costOf returns what a limit is charged, or that it has no say.
func costOf(l apikey.Limit, cost int64, amounts []limiter.Amount) (n int64, idle bool) {
	switch {
	case l.Concurrent:
		return 1, false
	case l.Unit == "":
		return min(max(cost, 1), mostCost), false
	}
	n, found := amountOf(l.Unit, amounts)
	return min(n, mostCost), !found
}

func amountOf(unit string, amounts []limiter.Amount) (n int64, found bool) {
	for _, a := range amounts {
		if a.Unit == unit {
			return a.N, true
		}
	}
	return 0, false
}

func checkAmounts(field string, amounts []limiter.Amount) error {
	if len(amounts) > limiter.MaxAmounts {
		return invalidf("%s: %d, at most %d are allowed", field, len(amounts), limiter.MaxAmounts)
	}
	for i, a := range amounts {
		switch {
		case a.Unit == "":
			return invalidf("%s[%d].Unit: it is empty", field, i)
		case a.N < 0:
			return invalidf("%s[%d].N: %d is negative", field, i, a.N)
		}
		if _, twice := amountOf(a.Unit, amounts[:i]); twice {
			return invalidf("%s[%d].Unit: %q is named twice", field, i, a.Unit)
		}
	}
	return nil
}

// settled turns the costs of the request's parts into the differences that a
// settlement makes, of those that were charged.
func (c *checked) settled(d *limiter.Decision, s *limiter.Settlement) error {
	if err := s.Validate(*c.r); err != nil {
		return err
	}
	doubt := false
	for i, p := range c.all {
		doubt = doubt || p.shadow && d.Windows[i].Violated
	}
	for i := range c.all {
		p := &c.all[i]
		switch {
		case p.shadow && doubt:
			p.idle = true
		case p.limit.Concurrent:
		case p.limit.Unit == "":
			p.cost = min(s.Cost, mostCost) - p.cost
		case !p.idle:
			if n, named := amountOf(p.limit.Unit, s.Amounts); named {
				p.cost = min(n, mostCost) - p.cost
			} else {
				p.cost = 0
			}
		}
	}
	return nil
}
