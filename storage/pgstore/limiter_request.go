package pgstore

import (
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// question is a request as the server wants it: the subjects in the order of
// their bytes, which is the order of their locks, and the limits in the same
// order.
type question struct {
	name1, name2  []byte // name2 is nil if there is one subject
	n1            int32  // limits of name1
	lengths, most []int64
	first, total  int // number of limits of the request's first demand to move behind the others, and of all limits
}

func questionOf(r *limiter.Request) (q question) {
	demands := []*limiter.Demand{&r.Demand, &r.Also}
	if r.Also.Subject < r.Subject {
		demands[0], demands[1] = demands[1], demands[0]
		q.first = len(r.Also.Limits)
	}
	for _, d := range demands {
		if len(d.Limits) == 0 {
			continue
		}
		if q.name1 == nil {
			q.name1, q.n1 = []byte(d.Subject), int32(len(d.Limits))
		} else {
			q.name2 = []byte(d.Subject)
		}
		for _, l := range d.Limits {
			q.lengths = append(q.lengths, int64(l.Window/time.Second))
			q.most = append(q.most, l.N)
		}
	}
	q.total = len(q.lengths)
	return q
}

// decision decodes an answer and puts its statuses back into the request's
// order.
func (q *question) decision(answer []int64) (d limiter.Decision) {
	d.N, d.RetryAfter = q.total, time.Duration(answer[0])
	if d.Allowed = d.RetryAfter == 0; d.RetryAfter < 0 {
		d.RetryAfter = limiter.Never
	}
	for i := range q.total {
		s := answer[2+3*((i+q.first)%q.total):]
		d.Windows[i] = limiter.Status{Remaining: s[0], Reset: time.Duration(s[1]), Violated: s[2] != 0}
	}
	return d
}

// checkRequest reports what is wrong with a request, and what it costs.
func checkRequest(r *limiter.Request) (cost int64, err error) {
	if r.Cost < 0 {
		return 0, wrong("cost %d is negative", r.Cost)
	}
	if n := len(r.Limits) + len(r.Also.Limits); n > limiter.MaxWindows {
		return 0, wrong("%d windows, at most %d are allowed", n, limiter.MaxWindows)
	}
	for _, d := range []*limiter.Demand{&r.Demand, &r.Also} {
		if err := checkDemand(d); err != nil {
			return 0, err
		}
	}
	if len(r.Limits) > 0 && len(r.Also.Limits) > 0 && r.Subject == r.Also.Subject {
		return 0, wrong("both demands name the same subject")
	}
	return max(r.Cost, 1), nil
}

func checkDemand(d *limiter.Demand) error {
	switch {
	case len(d.Limits) == 0:
		return nil
	case d.Subject == "":
		return wrong("limits without a subject")
	case len(d.Subject) > limiter.MaxSubject:
		return wrong("subject of %d bytes, at most %d are allowed", len(d.Subject), limiter.MaxSubject)
	}
	for i, l := range d.Limits {
		if l.N < 1 || l.N > apikey.MaxLimitN {
			return wrong("limit %q: N %d is not between 1 and %d", l.Name, l.N, int64(apikey.MaxLimitN))
		}
		if l.Window < time.Second || l.Window > apikey.MaxLimitWindow || l.Window%time.Second != 0 {
			return wrong("limit %q: window %v is not a whole number of seconds between 1s and %v", l.Name, l.Window, apikey.MaxLimitWindow)
		}
		for _, o := range d.Limits[:i] {
			if o.Window == l.Window {
				return wrong("limits %q and %q have the same window %v", o.Name, l.Name, l.Window)
			}
		}
	}
	return nil
}

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: pgstore: %s", limiter.ErrInvalid, fmt.Sprintf(format, args...))
}
