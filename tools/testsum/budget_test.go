package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestBudget reads the file itself: each line is for a package of the tree.
func TestBudget(t *testing.T) {
	t.Parallel()
	b, err := readBudget(budgetText)
	if err != nil {
		t.Fatal(err)
	}
	for name := range b.of {
		rel, ours := strings.CutPrefix(name, "github.com/wontopos/latchkey")
		tests, _ := filepath.Glob(filepath.Join("../..", rel, "*_test.go"))
		if !ours || len(tests) == 0 {
			t.Errorf("there are no tests in %s", name)
		}
	}
}

func TestBudgetsThatMeanNothingAreErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"# default 20\n\np 3\n":    `no line "default"`,
		"default 20\np\n":          "want a package and its seconds",
		"default 20\np 3 s\n":      "want a package and its seconds",
		"default 20\np soon\n":     "no number of seconds",
		"default 20\np 0\n":        "no number of seconds",
		"default 20\np NaN\n":      "no number of seconds",
		"default 20\np 3\np 4\n":   "p has two lines",
		"default 20\ndefault 30\n": "default has two lines",
	} {
		if _, err := readBudget(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}
