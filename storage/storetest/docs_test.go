package storetest

import (
	"testing"

	"github.com/wontopos/latchkey/internal/doctable"
)

func TestThePageForAuthorsNamesEveryCase(t *testing.T) {
	var names []string
	for _, c := range checks() {
		names = append(names, c.name)
	}
	doctable.Check(t, "../../docs/writing-a-store.md", names)
}
