package limiter

import (
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// maxDemands is how many demands a request may have.
const maxDemands = 4

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Validate reports what is wrong with the request, as an error that wraps
// [ErrInvalid]. Limiters do so themselves; it is for their authors.
func (r Request) Validate() error {
	if _, _, err := r.check(); err != nil {
		return err
	}
	for i := range r.Demands {
		if err := checkLimits(r.Demands[i].Limits); err != nil {
			return err
		}
	}
	return nil
}

// order lists the demands of a request that have limits.
type order struct {
	n    int
	of   [maxDemands]uint8 // their indices in Request.Demands
	at   [maxDemands]uint8 // the indices of their first statuses
	turn [maxDemands]uint8 // indices of the above, in the order of the subjects
}

// check reports what is wrong with the request, except for the bounds of its
// limits, and otherwise what it costs. It runs on every call.
func (r *Request) check() (cost int64, o order, err error) {
	if r.Cost < 0 {
		return 0, o, invalidf("cost %d is negative", r.Cost)
	}
	if len(r.Demands) > maxDemands {
		return 0, o, invalidf("%d demands, at most %d are allowed", len(r.Demands), maxDemands)
	}
	windows := 0
	for i := range r.Demands {
		d := &r.Demands[i]
		if len(d.Limits) == 0 {
			continue
		}
		if err := d.check(); err != nil {
			return 0, o, err
		}
		o.of[o.n], o.at[o.n] = uint8(i), uint8(windows)
		windows += len(d.Limits)
		place := o.n
		for ; place > 0; place-- {
			before := o.turn[place-1]
			switch other := r.Demands[o.of[before]].Subject; {
			case other == d.Subject:
				return 0, o, invalidf("two demands name the same subject")
			case other > d.Subject:
				o.turn[place] = before
				continue
			}
			break
		}
		o.turn[place] = uint8(o.n)
		o.n++
	}
	if windows > MaxWindows {
		return 0, o, invalidf("%d limits in all, at most %d are allowed", windows, MaxWindows)
	}
	return max(r.Cost, 1), o, nil
}

func (d *Demand) check() error {
	switch {
	case d.Subject == "":
		return invalidf("limits without a subject")
	case len(d.Subject) > MaxSubject:
		return invalidf("subject of %d bytes, at most %d are allowed", len(d.Subject), MaxSubject)
	case len(d.Limits) > apikey.MaxLimits:
		return invalidf("%d limits on a subject, at most %d are allowed", len(d.Limits), apikey.MaxLimits)
	}
	return nil
}

// checkLimits reports limits out of bounds. It runs when a subject is used with
// limits under which it has not been decided before.
func checkLimits(limits []apikey.Limit) error {
	for i, l := range limits {
		if l.N < 1 || l.N > apikey.MaxLimitN {
			return invalidf("limit %q: N %d is not between 1 and %d", l.Name, l.N, int64(apikey.MaxLimitN))
		}
		if l.Window < time.Second || l.Window > apikey.MaxLimitWindow || l.Window%time.Second != 0 {
			return invalidf("limit %q: window %v is not a whole number of seconds between 1s and %v", l.Name, l.Window, apikey.MaxLimitWindow)
		}
		for _, o := range limits[:i] {
			if o.Window == l.Window {
				return invalidf("limits %q and %q have the same window %v", o.Name, l.Name, l.Window)
			}
		}
	}
	return nil
}
