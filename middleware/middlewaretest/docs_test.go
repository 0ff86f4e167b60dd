package middlewaretest

import (
	"slices"
	"testing"

	"github.com/wontopos/latchkey/internal/doctable"
)

func TestThePageForAuthorsNamesEveryCase(t *testing.T) {
	var names []string
	for _, r := range slices.Concat(decisionRules(), useRules(), tableRules(), cutRules(), aroundRules()) {
		names = append(names, r.name)
	}
	for _, c := range cases {
		names = append(names, c.name)
	}
	doctable.Check(t, "../../docs/writing-an-adapter.md", names)
}
