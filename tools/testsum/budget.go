package main

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed budget.txt
var budgetText string

// A package fails above this many times its budget. Up to there it is only reported, because the machine may be busy.
const patience = 3

// budget holds the seconds that the tests of a package may take.
type budget struct {
	usual float64 // of a package that has no line
	of    map[string]float64
}

// readBudget reads lines of a package, or "default", and seconds. Empty lines and those that start with "#" are
// comments.
func readBudget(text string) (budget, error) {
	b := budget{of: map[string]float64{}}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(fields) != 2 {
			return b, fmt.Errorf("budget: %q: want a package and its seconds", strings.TrimSpace(line))
		}
		name := fields[0]
		seconds, err := strconv.ParseFloat(fields[1], 64)
		if err != nil || !(seconds > 0) {
			return b, fmt.Errorf("budget: %s: %q is no number of seconds", name, fields[1])
		}
		if _, ok := b.of[name]; ok {
			return b, fmt.Errorf("budget: %s has two lines", name)
		}
		b.of[name] = seconds
	}
	usual, ok := b.of["default"]
	if !ok {
		return b, fmt.Errorf(`budget: no line "default"`)
	}
	delete(b.of, "default")
	b.usual = usual
	return b, nil
}

// excess says by how much a package was over its budget, if it was, and whether that fails the run.
func (b budget) excess(name string, took float64) (line string, fails bool) {
	may, ok := b.of[name]
	if !ok {
		may = b.usual
	}
	switch {
	case may == 0 || took <= may: // 0: no budget at all
		return "", false
	case took <= patience*may:
		return fmt.Sprintf("SLOW %s: %.1fs, budget %gs", name, took, may), false
	default:
		return fmt.Sprintf("FAIL %s: %.1fs, more than %d times its budget of %gs", name, took, patience, may), true
	}
}
