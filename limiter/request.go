package limiter

import (
	"fmt"

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
		return 0, o, invalidf("Cost %d is negative", r.Cost)
	}
	if err := checkAmounts("Amounts", r.Amounts); err != nil {
		return 0, o, err
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

func checkAmounts(field string, all []Amount) error {
	if len(all) > MaxAmounts {
		return invalidf("%s has %d units, at most %d are allowed", field, len(all), MaxAmounts)
	}
	for i := range all {
		switch a := &all[i]; {
		case a.Unit == "":
			return invalidf("%s[%d].Unit is empty", field, i)
		case a.N < 0:
			return invalidf("%s[%d].N %d is negative", field, i, a.N)
		}
		for j := range i {
			if all[j].Unit == all[i].Unit {
				return invalidf("%s[%d].Unit is named twice: %q", field, i, all[i].Unit)
			}
		}
	}
	return nil
}

// uninvolved is the cost of a request to a limit whose unit it does not name.
const uninvolved = -1

// costs returns what a limit is charged, or uninvolved.
func (r *Request) costs(l *apikey.Limit) int64 {
	switch {
	case l.Concurrent:
		return 1
	case l.Unit == "":
		return max(r.Cost, 1)
	}
	return amount(r.Amounts, l.Unit)
}

func amount(all []Amount, unit string) int64 {
	for i := range all {
		if all[i].Unit == unit {
			return all[i].N
		}
	}
	return uninvolved
}

// Validate reports what is wrong with a settlement of the request, as an error
// that wraps [ErrInvalid]; the request itself is checked by its own Validate. It
// is for authors of limiters.
func (s Settlement) Validate(r Request) error {
	if s.Cost < 0 {
		return invalidf("Settlement.Cost %d is negative", s.Cost)
	}
	if err := checkAmounts("Settlement.Amounts", s.Amounts); err != nil {
		return err
	}
	for i := range s.Amounts {
		if amount(r.Amounts, s.Amounts[i].Unit) == uninvolved {
			return invalidf("Settlement.Amounts[%d].Unit is none of the request's: %q", i, s.Amounts[i].Unit)
		}
	}
	return nil
}

// difference returns by how much the settlement changes what a limit is charged.
func (s *Settlement) difference(r *Request, l *apikey.Limit) int64 {
	was := r.costs(l)
	switch {
	case l.Concurrent || was == uninvolved:
		return 0
	case l.Unit == "":
		return s.Cost - was
	}
	if is := amount(s.Amounts, l.Unit); is != uninvolved {
		return is - was
	}
	return 0
}
