package limitertest

import (
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const (
	quotaN     = "a quota admits N in its period, up to 1e15"
	quotaSpan  = "a quota begins again when its calendar says, and not before"
	quotaEver  = "a quota of Ever never begins again, and is topped up by a higher N"
	oneOfZones = "quotas of other periods and zones have counts of their own"
)

var quotaRules = []rule{
	{quotaN, needsQuotas, quotaAdmits},
	{quotaSpan, allOf(needsQuotas, movesPeriods), quotaBegins},
	{quotaEver, needsQuotas, credits},
	{oneOfZones, needsQuotas, quotasApart},
}

// movesPeriods is for rules that go to the end of a period.
func movesPeriods(h Harness) string {
	if h.Virtual {
		return ""
	}
	return needsStep(h)
}

// quota returns one whose period does not end while a rule runs, but for rules
// that make it.
func (e *env) quota(n int64, p apikey.Period) apikey.Limit {
	best := apikey.Limit{Name: string(p), N: n, Period: p}
	if p == apikey.Ever {
		return best
	}
	left := time.Duration(0)
	for _, zone := range []string{"", "Asia/Tokyo", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Kiritimati", "Etc/GMT+12"} {
		l := best
		l.Zone = zone
		if d := e.end(l).Sub(e.clock()); d > left {
			best, left = l, d
		}
	}
	return best
}

// end is when the period of a quota ends.
func (e *env) end(l apikey.Limit) time.Time {
	e.Helper()
	_, end, err := l.Span(e.clock())
	if err != nil {
		e.Fatal(err)
	}
	return end
}

func quotaAdmits(e *env) {
	const n = 1_000_000_000_000_000
	o := newOracle(e)
	for _, p := range []apikey.Period{apikey.Hourly, apikey.Daily, apikey.Monthly, apikey.Ever} {
		r := with(ask("quota "+string(p), e.quota(n, p), e.limit(1000)), "owner of quota "+string(p), e.quota(7, p))
		o.peek(quotaN, r)
		for _, cost := range []int64{1, 3, 4, 3, 1} {
			o.take(quotaN, costing(r, cost))
			o.peek(quotaN, r)
		}
		r = ask("quota "+string(p), e.quota(n, p))
		for _, cost := range []int64{n, n - 8, n/2 + 1, n / 2, n/2 - 7, 1} {
			o.take(quotaN, costing(r, cost))
		}
		o.take(quotaN, costing(r, n+1))
		o.take(quotaN, costing(r, 1<<62))
	}
}

// quotaBegins knows the periods by heart: those around changes of clocks and
// leap days, and one whose hours begin at a quarter past.
func quotaBegins(e *env) {
	if !e.Virtual {
		quotaSteps(e)
		return
	}
	for i, c := range []struct {
		period          apikey.Period
		zone, from, end string
	}{
		{apikey.Hourly, "", "2026-02-28T23:00:00Z", "2026-03-01T00:00:00Z"},
		{apikey.Daily, "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{apikey.Daily, "America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		{apikey.Hourly, "Asia/Kathmandu", "2027-03-01T00:15:00Z", "2027-03-01T01:15:00Z"},
		{apikey.Hourly, "Australia/Lord_Howe", "2027-04-03T14:00:00Z", "2027-04-03T15:30:00Z"},
		{apikey.Monthly, "", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		{apikey.Monthly, "Europe/Berlin", "2029-02-28T23:00:00Z", "2029-03-31T22:00:00Z"},
		{apikey.Daily, "", "2030-12-31T00:00:00Z", "2031-01-01T00:00:00Z"},
		{apikey.Monthly, "America/New_York", "2032-11-01T04:00:00Z", "2032-12-01T05:00:00Z"},
	} {
		from, _ := time.Parse(time.RFC3339, c.from)
		end, _ := time.Parse(time.RFC3339, c.end)
		rule := fmt.Sprintf("%s: by %s in %q from %s", quotaSpan, c.period, c.zone, c.from)
		r := ask(fmt.Sprint("begins ", i), apikey.Limit{Name: "quota", N: 4, Period: c.period, Zone: c.zone})
		e.sleep(time.Until(from.Add(-1)))
		if d := e.admit(rule, 3, r); d.Windows[0].Reset != 1 {
			e.Errorf("%s: a nanosecond before, Reset is %v", rule, d.Windows[0].Reset)
		}
		e.sleep(1)
		if d := e.admit(rule, 4, r); d.Windows[0].Reset != end.Sub(from) {
			e.Errorf("%s: Reset is %v, want %v", rule, d.Windows[0].Reset, end.Sub(from))
		}
		if d := e.refuse(rule, r); d.RetryAfter != end.Sub(from) {
			e.Errorf("%s: RetryAfter is %v, want %v", rule, d.RetryAfter, end.Sub(from))
		}
		e.sleep(end.Sub(from) - 1)
		if d := e.refuse(rule, r); d.RetryAfter != 1 {
			e.Errorf("%s: a nanosecond before the end, RetryAfter is %v", rule, d.RetryAfter)
		}
		e.sleep(1)
		e.remaining(rule, r, 4)
		e.admit(rule, 4, r)
		e.refuse(rule, r)
	}
}

// quotaSteps sets the clock of a server to the end of each period.
func quotaSteps(e *env) {
	for _, p := range []apikey.Period{apikey.Hourly, apikey.Daily, apikey.Monthly} {
		l := e.quota(4, p)
		r := ask("steps "+string(p), l)
		e.admit(quotaSpan, 4, r)
		e.refuse(quotaSpan, r)
		e.step(e.end(l).Sub(e.clock()) - e.Unit/2)
		d := e.refuse(quotaSpan, r)
		if want := e.end(l).Sub(e.clock()); (d.RetryAfter - want).Abs() > time.Second+e.lag {
			e.Errorf("%s: RetryAfter is %v, want %v", quotaSpan, d.RetryAfter, want)
		}
		e.sleep(d.RetryAfter)
		e.admit(quotaSpan, 4, r)
		e.refuse(quotaSpan, r)
	}
}

func credits(e *env) {
	r := ask("credits", e.quota(5, apikey.Ever), e.limit(100))
	never := func(cost int64) {
		if d := e.refuse(quotaEver, costing(r, cost)); d.RetryAfter != limiter.Never || d.Windows[0].Reset != 0 {
			e.Errorf("%s: a refusal is for ever, and there is no Reset: %v", quotaEver, d)
		}
	}
	e.admit(quotaEver, 3, r)
	never(3)
	e.admit(quotaEver, 2, r)
	never(1)
	if e.Virtual {
		e.sleep(10 * 365 * 24 * time.Hour)
		never(1)
	}
	r = ask("credits", e.quota(7, apikey.Ever), e.limit(100))
	e.admit(quotaEver, 1, costing(r, 2))
	never(1)
}

func quotasApart(e *env) {
	hour, day := e.quota(3, apikey.Daily), e.quota(3, apikey.Monthly)
	elsewhere := hour
	elsewhere.Zone = "Asia/Kathmandu"
	hour.Name, day.Name, elsewhere.Name = "quota", "quota", "quota"
	for _, l := range []apikey.Limit{hour, day, elsewhere, {Name: "quota", N: 3, Period: apikey.Ever}, {Name: "quota", N: 3, Window: 20 * e.Unit}} {
		e.admit(oneOfZones, 3, ask("apart", l))
		e.refuse(oneOfZones, ask("apart", l))
	}
}
