package limiter

import "time"

// A quota is one total, from the first instant of its period to its end.

// renew begins the period that contains now. If it cannot be found, the zone was
// known when the limit was: the period goes on for a while.
func (c *count) renew(s *shape, now int64) {
	p, err := s.begins.period(now)
	if err != nil {
		c.edge = now + int64(time.Second)
		return
	}
	c.total, c.edge = 0, p.end
}

// within returns the time in the current period that is nearest to now.
func (l ledger) within(now int64) int64 {
	if l.begins != nil {
		if p, err := l.begins.period(l.edge - 1); err == nil {
			return max(now, p.from)
		}
	}
	return now
}

// settleQuota returns by how much the total changes.
func (l ledger) settleQuota(at, difference int64) int64 {
	if at >= l.edge || l.within(at) != at {
		return 0
	}
	return max(difference, -l.total)
}
