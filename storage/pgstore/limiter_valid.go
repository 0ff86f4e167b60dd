package pgstore

import (
	"fmt"
	"slices"

	"github.com/wontopos/latchkey/limiter"
)

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: pgstore: %s", limiter.ErrInvalid, fmt.Sprintf(format, args...))
}

// validSettlement reports what is wrong with a settlement of the request.
func validSettlement(r *limiter.Request, s limiter.Settlement) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if s.Cost < 0 {
		return invalidf("Settlement.Cost %d is negative", s.Cost)
	}
	if len(s.Amounts) > limiter.MaxAmounts {
		return invalidf("Settlement.Amounts has %d units, at most %d are allowed", len(s.Amounts), limiter.MaxAmounts)
	}
	for i, a := range s.Amounts {
		if a.N < 0 {
			return invalidf("Settlement.Amounts[%d].N %d is negative", i, a.N)
		}
		if slices.ContainsFunc(s.Amounts[:i], func(o limiter.Amount) bool { return o.Unit == a.Unit }) {
			return invalidf("Settlement.Amounts[%d].Unit is named twice: %q", i, a.Unit)
		}
		if _, named := amount(r.Amounts, a.Unit); !named {
			return invalidf("Settlement.Amounts[%d].Unit is none of the request's: %q", i, a.Unit)
		}
	}
	return nil
}
