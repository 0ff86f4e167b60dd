package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// tolerance is how many percent a scenario may be off its budget.
const tolerance = 3.0

// row is a line of the budget: what a scenario may cost, and where that was
// counted (see conditions).
type row struct {
	name         string
	instructions int
	conditions   string
}

// readBudget reads lines of a name, a number and the conditions. Empty lines
// and those that start with "#" are comments.
func readBudget(r io.Reader) (rows []row, err error) {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 4 {
			return nil, fmt.Errorf("line %d: want a scenario, a number, a version of Go and a processor", n)
		}
		count, err := strconv.Atoi(fields[1])
		if err != nil || count < 1 {
			return nil, fmt.Errorf("line %d: %q is no number of instructions", n, fields[1])
		}
		if slices.ContainsFunc(rows, func(r row) bool { return r.name == fields[0] }) {
			return nil, fmt.Errorf("line %d: %s has a line already", n, fields[0])
		}
		rows = append(rows, row{fields[0], count, fields[2] + " " + fields[3]})
	}
	return rows, lines.Err()
}

const budgetHead = `# Instructions of one operation, counted by "make gate". One line a scenario: its name, the budget, the version of Go
# and the processor. More than 3 % above the budget fails. "make gate-accept" writes this file anew: say in the commit
# what the instructions buy, or what saved them.
#
# Counted under valgrind, which executes no instructions for SHA-256 (so a digest counts as that of a processor with
# AVX2 only, see sha256) and no system calls. These are no times: compare a line with its past only.
`

func writeBudget(w io.Writer, rows []row) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, budgetHead+"\n")
	for _, r := range rows {
		fmt.Fprintf(b, "%-26s %6d  %s\n", r.name, r.instructions, r.conditions)
	}
	return b.Flush()
}

// accept puts what was counted into the budget, in the order of all
// scenarios. Lines of scenarios that there are no more go.
func accept(budget []row, all []scenario, counted map[string]int, here string) (rows []row) {
	for _, s := range all {
		if n, ok := counted[s.name]; ok {
			rows = append(rows, row{s.name, n, here})
		} else if i := slices.IndexFunc(budget, func(r row) bool { return r.name == s.name }); i >= 0 {
			rows = append(rows, budget[i])
		}
	}
	return rows
}

// finding is one line of what the gate found.
type finding struct {
	name            string
	counted, budget int // 0: none
	verdict         verdict
	note            string
}

// A verdict says what a finding means for the gate.
type verdict int

const (
	holds  verdict = iota
	saves          // so far below the budget that the budget should follow
	other          // the budget was counted elsewhere: not judged
	breaks         // the gate is shut
)

func (f finding) change() float64 { return (float64(f.counted)/float64(f.budget) - 1) * 100 }

// compare holds what was counted against the budget. names are the scenarios
// that were meant to be counted.
func compare(names []string, counted map[string]int, budget []row, here string) (found []finding) {
	rows := map[string]row{}
	for _, r := range budget {
		rows[r.name] = r
	}
	for _, name := range names {
		r, ok := rows[name]
		f := finding{name: name, counted: counted[name], budget: r.instructions}
		switch {
		case f.counted == 0:
			f.verdict, f.note = breaks, "was not counted"
		case !ok:
			f.verdict, f.note = breaks, "has no budget"
		case r.conditions != here:
			f.verdict, f.note = other, "budget of "+r.conditions
		case f.change() > tolerance:
			f.verdict, f.note = breaks, "over budget"
		case f.change() < -tolerance:
			f.verdict, f.note = saves, "lower the budget"
		}
		found = append(found, f)
	}
	return found
}

// orphans are lines of the budget without a scenario.
func orphans(all []scenario, budget []row) (found []finding) {
	for _, r := range budget {
		if !slices.ContainsFunc(all, func(s scenario) bool { return s.name == r.name }) {
			found = append(found, finding{name: r.name, budget: r.instructions, verdict: breaks, note: "is no scenario"})
		}
	}
	return found
}

// having returns the findings with a verdict.
func having(v verdict, all []finding) (some []finding) {
	for _, f := range all {
		if f.verdict == v {
			some = append(some, f)
		}
	}
	return some
}

func writeTable(w io.Writer, all []finding) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\tinstructions\tbudget\tchange\t\t")
	for _, f := range all {
		change := ""
		if f.counted > 0 && f.budget > 0 {
			change = fmt.Sprintf("%+.1f %%", f.change())
		}
		mark := map[verdict]string{holds: "ok", breaks: "FAIL: "}[f.verdict] + f.note
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t\n", f.name, orNone(f.counted), orNone(f.budget), change, mark)
	}
	_ = t.Flush()
}

func orNone(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}
