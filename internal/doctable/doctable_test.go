package doctable_test

import (
	"slices"
	"testing"

	"github.com/wontopos/latchkey/internal/doctable"
)

func TestCasesAreThoseOfTheirColumn(t *testing.T) {
	got := doctable.Cases("text `a`\n\n| of `b` | case |\n|---|---|\n| `c` | `d` |\n| e | `f g`, `h` |\n\n| b | other |\n|---|---|\n| c | `i` |\n")
	if want := []string{"d", "f g", "h"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAPageThatIsWrongFails(t *testing.T) {
	const page = "| x | case |\n|---|---|\n| x | `one rule` |\n\n`go test -run 'TestStore/one_r'`\n"
	for name, c := range map[string]struct {
		suite  []string
		faults int
	}{
		"is right":     {[]string{"one rule"}, 0},
		"forgets":      {[]string{"one rule", "two"}, 1},
		"invents":      {[]string{"one room"}, 2}, // and forgets one
		"runs nothing": {[]string{"two"}, 3},      // and forgets one, and invents one
	} {
		t.Run(name, func(t *testing.T) {
			if got := doctable.Faults(page, c.suite); len(got) != c.faults {
				t.Errorf("%d faults, want %d: %q", len(got), c.faults, got)
			}
		})
	}
}
