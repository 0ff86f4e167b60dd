package middlewaretest

import (
	"slices"
	"testing"
)

// rule is one thing that an adapter must do.
type rule struct {
	name  string
	needs []Ability
	check func(t *testing.T, h Harness)
}

// Run runs every rule as a subtest.
func Run(t *testing.T, h Harness) {
	for _, r := range slices.Concat(decisionRules(), useRules(), tableRules(), cutRules(), aroundRules(), lackRules(h)) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			h.needs(t, r.needs...)
			r.check(t, h)
		})
	}
}
