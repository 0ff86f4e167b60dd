package limitertest

import (
	"testing"

	"github.com/wontopos/latchkey/internal/doctable"
)

func TestThePageForAuthorsNamesEveryCase(t *testing.T) {
	var names []string
	for _, r := range rules() {
		names = append(names, r.name)
	}
	doctable.Check(t, "../../docs/writing-a-limiter.md", names)
}
