package apikey

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wontopos/latchkey/internal/redact"
)

// Limit is one rule of a [Plan]. It is of one of three kinds:
//
//   - a window, if Window is set: at most N in any interval of that length;
//   - a quota, if Period is set: at most N in each calendar hour, day or month,
//     or N in all;
//   - a number at the same time, if Concurrent is set: at most N requests in
//     progress.
//
// Two limits on the same subject are one and the same if they have the same
// name, kind, and length or period (with its zone): they then share their
// count, whatever their N. So a limit that is renamed starts from zero.
//
// The zero value is invalid. To allow nothing, disable the key; N = 0 is not
// allowed, so that a forgotten field never means "refuse all" or "allow all" by
// accident.
type Limit struct {
	// Name identifies the limit to clients: it is the quoted policy name in the
	// RateLimit headers. 1 to 32 characters of a-z, 0-9, '-' and '_'.
	Name string `json:"name"`
	// N is how much is admitted: requests, or units of cost. 1 to MaxLimitN for a
	// window, to MaxQuotaN for a quota, to MaxConcurrent for requests in progress.
	N int64 `json:"n"`
	// Window is the length of a sliding window, in whole seconds, from one second
	// to 31 days.
	Window time.Duration `json:"window,omitempty"`
	// Period makes the limit a quota.
	Period Period `json:"period,omitempty"`
	// Zone is the time zone of a quota's hours, days and months: a name of the IANA
	// database such as "Europe/Berlin"; empty means UTC.
	Zone string `json:"zone,omitempty"`
	// Concurrent makes the limit one on requests in progress. Each counts as one,
	// whatever it costs.
	Concurrent bool `json:"concurrent,omitempty"`
	// Unit is what a window or quota counts. Empty means requests, each at its
	// cost. With a unit, such as "tokens", the limit concerns only requests that
	// name an amount of it. 1 to 32 characters like those of Name.
	Unit string `json:"unit,omitempty"`
	// Shadow makes the limit refuse nobody. It is decided, counted and reported as
	// if it did: a request that it would refuse is not charged to it.
	Shadow bool `json:"shadow,omitempty"`
}

// Period is how often a quota begins again.
type Period string

// The periods of quotas. Hours, days and months are those of the calendar in
// Limit.Zone, so a day may have 23 or 25 hours. A quota of Ever is a credit: it
// never begins again, and is topped up by raising N, which is all that was ever
// granted. Each key has counts of its own, so credits are for plans of owners
// (middleware.Options.OwnerPlans): in one of keys, each new key has them again.
const (
	Hourly  Period = "hour"
	Daily   Period = "day"
	Monthly Period = "month"
	Ever    Period = "ever"
)

// Bounds of a plan. They keep one key's state small and an answer's headers
// short.
const (
	MaxLimits      = 4                     // limits in one plan
	MaxLimitN      = 1_000_000_000         // N of one window
	MaxQuotaN      = 1_000_000_000_000_000 // N of one quota
	MaxConcurrent  = 1_000                 // N of requests in progress
	MaxLimitWindow = 31 * 24 * time.Hour   // length of one window
)

// PerMinute allows n requests in any 60 seconds. It and PerDay are the two
// windows of the plans that people know.
func PerMinute(n int64) Limit { return Limit{Name: "minute", N: n, Window: time.Minute} }

// PerDay allows n requests in any 24 hours.
func PerDay(n int64) Limit { return Limit{Name: "day", N: n, Window: 24 * time.Hour} }

// Same reports whether the limits share their count on one subject.
func (l Limit) Same(o Limit) bool {
	return l.Name == o.Name && l.Window == o.Window && l.Period == o.Period && l.Concurrent == o.Concurrent &&
		(l.Zone == o.Zone || l.Period == Ever || l.Period == "")
}

// Span returns the calendar period of a quota that contains t: from its first
// instant, up to but not including end. Without a period, and for [Ever], both
// are zero. It fails for an unknown zone.
func (l Limit) Span(t time.Time) (from, end time.Time, err error) {
	if l.Period == "" || l.Period == Ever {
		return from, end, nil
	}
	zone, err := location(l.Zone)
	if err != nil {
		return from, end, fmt.Errorf("apikey: zone of limit %q: %w", l.Name, err)
	}
	t = t.In(zone)
	if l.Period == Hourly {
		from, end = hourOf(t)
		return from, end, nil
	}
	// Where clocks change at midnight, a day may begin at another hour, and Go
	// may date its midnight into the day before.
	for shift := range 2 {
		y, m, d := t.Date()
		if l.Period == Monthly {
			from, end = time.Date(y, m+time.Month(shift), 1, 0, 0, 0, 0, zone), time.Date(y, m+time.Month(shift)+1, 1, 0, 0, 0, 0, zone)
		} else {
			from, end = time.Date(y, m, d+shift, 0, 0, 0, 0, zone), time.Date(y, m, d+shift+1, 0, 0, 0, 0, zone)
		}
		if t.Before(end) {
			break
		}
	}
	return from, end, nil
}

// zones are the time zones that were asked for: to load one is to read a file.
var zones sync.Map // of name to *time.Location

func location(name string) (*time.Location, error) {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	if name == "Local" || name == "localtime" { // another one on each machine
		return nil, fmt.Errorf("unknown time zone %s", name)
	}
	zone, err := time.LoadLocation(name)
	if err == nil {
		zones.Store(name, zone)
	}
	return zone, err
}

// hourOf returns the last time up to t, and the first one after t, at which
// clocks show a full hour. They are an hour apart, unless clocks are set by a part
// of an hour in between.
func hourOf(t time.Time) (from, end time.Time) {
	begin, until := t.ZoneBounds()
	from = fullHour(t)
	if !begin.IsZero() && from.Before(begin) {
		if from = begin; !fullHour(begin).Equal(begin) {
			from = fullHour(begin.Add(-1))
		}
	}
	end = fullHour(t).Add(time.Hour)
	// On the last day of a leap year, Go's bounds may end before t.
	if until.After(t) && !end.Before(until) {
		if end = until; !fullHour(until).Equal(until) {
			end = fullHour(until).Add(time.Hour)
		}
	}
	return from, end
}

// fullHour returns the last full hour up to t, by the offset of t.
func fullHour(t time.Time) time.Time {
	_, offset := t.Zone()
	local := time.Duration(offset) * time.Second
	return t.Add(local).Truncate(time.Hour).Add(-local)
}

// Validate returns an error if the limit is invalid, naming the field.
func (l Limit) Validate() error { return l.validate("Limit") }

func (l Limit) validate(at string) error {
	if err := validName(at+".Name", l.Name, 32); err != nil {
		return err
	}
	if l.Unit != "" {
		if err := validName(at+".Unit", l.Unit, 32); err != nil {
			return err
		}
	}
	kinds, most := 0, int64(MaxLimitN)
	if l.Window != 0 {
		kinds++
		if l.Window < time.Second || l.Window > MaxLimitWindow || l.Window%time.Second != 0 {
			return invalidf(at+".Window", "%v is not a whole number of seconds between 1s and %v", l.Window, MaxLimitWindow)
		}
	}
	if l.Period != "" {
		kinds, most = kinds+1, MaxQuotaN
		if !slices.Contains([]Period{Hourly, Daily, Monthly, Ever}, l.Period) {
			return invalidf(at+".Period", "%s is not hour, day, month or ever", redact.Quoted(string(l.Period)))
		}
	}
	if l.Concurrent {
		kinds, most = kinds+1, MaxConcurrent
	}
	switch {
	case kinds != 1:
		return invalidf(at, "limit %q must have exactly one of Window, Period and Concurrent", l.Name)
	case l.Zone != "" && (l.Period == "" || l.Period == Ever):
		return invalidf(at+".Zone", "only a quota by hour, day or month has a time zone")
	case l.Unit != "" && l.Concurrent:
		return invalidf(at+".Unit", "requests in progress have no unit")
	case l.N < 1 || l.N > most:
		return invalidf(at+".N", "%d is not between 1 and %d", l.N, most)
	}
	if _, _, err := l.Span(time.Now()); err != nil {
		return invalidf(at+".Zone", "%s is not a time zone that this program knows: use a name such as Europe/Berlin, and import time/tzdata if the system has no zones", redact.Quoted(l.Zone))
	}
	return nil
}

func validLimits(field string, limits []Limit) error {
	if len(limits) > MaxLimits {
		return invalidf(field, "%d limits, at most %d are allowed", len(limits), MaxLimits)
	}
	for i, l := range limits {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := l.validate(at); err != nil {
			return err
		}
		if slices.ContainsFunc(limits[:i], func(o Limit) bool { return o.Name == l.Name }) {
			return invalidf(at+".Name", "%s is the name of two limits", redact.Quoted(l.Name))
		}
	}
	return nil
}
