package limitertest

import (
	"errors"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const lacks = "what a limiter lacks, it refuses"

var lackRules = []rule{{lacks, always, refusesWhatItLacks}}

func refusesWhatItLacks(e *env) {
	all := e.long(5)
	all.Shadow = true
	hidden := ask("lacks", e.long(5))
	hidden.Shadow = true
	for _, c := range []struct {
		lacks bool
		what  string
		r     limiter.Request
	}{
		{e.NoQuotas, "a quota", ask("lacks", e.long(5), e.quota(5, apikey.Monthly))},
		{e.NoQuotas, "a credit", ask("lacks", e.quota(5, apikey.Ever))},
		{e.NoConcurrent, "a limit on requests in progress", ask("lacks", e.long(5), atOnceLimit(5))},
		{e.NoUnits, "a unit", ask("lacks", counting(e.long(5), "tokens"))},
		{e.NoUnits, "a unit", of(ask("lacks", e.long(5), counting(e.long(5), "tokens")), "tokens", 1)},
		{e.NoUnits, "an amount", of(ask("lacks", e.long(5)), "tokens", 1)},
		{e.NoShadows, "a shadow", with(ask("lacks", e.long(5)), "others", all)},
		{e.NoShadows, "a shadow of all", hidden},
	} {
		if !c.lacks {
			continue
		}
		for range 2 {
			if d, err := e.l.Take(e.Context(), c.r); !errors.Is(err, limiter.ErrInvalid) || d != (limiter.Decision{}) {
				e.Errorf("%s: %s: %v, %v", lacks, c.what, d, err)
			}
			if d, err := e.l.Peek(e.Context(), c.r); !errors.Is(err, limiter.ErrInvalid) || d != (limiter.Decision{}) {
				e.Errorf("%s: %s: Peek: %v, %v", lacks, c.what, d, err)
			}
		}
	}
	e.admit(lacks, 5, ask("lacks", e.long(5)))
}
