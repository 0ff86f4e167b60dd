package main

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
)

const here = "go1.26.1 amd64+avx2"

// fixed is a counter that always finds the same.
func fixed(counts map[string]int) counter {
	return func(_ context.Context, s scenario) (int, error) { return counts[s.name], nil }
}

// TestScenarios does each scenario a few times: they answer as they should.
func TestScenarios(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range scenarios() {
		if seen[s.name] || strings.ContainsAny(s.name, " \t#") || s.n < 10 {
			t.Errorf("%q: a name is a word of its own, and n is a number to divide by", s.name)
		}
		seen[s.name] = true
		if err := s.perform(20); err != nil {
			t.Error(err)
		}
	}
}

// TestGateCatches holds the gate to its word, with counts that we make up.
func TestGateCatches(t *testing.T) {
	t.Parallel()
	all := matching(regexp.MustCompile("^(sha256|call-mistyped)$"))
	for _, c := range []struct {
		rule    string
		budget  []row
		counted int // of call-mistyped
		shut    bool
		says    string
	}{
		{"as budgeted passes", []row{{"sha256", 100, here}, {"call-mistyped", 1000, here}}, 1000, false, "+0.0 %"},
		{"2 % more passes", []row{{"sha256", 100, here}, {"call-mistyped", 1000, here}}, 1020, false, "+2.0 %"},
		{"4 % more fails", []row{{"sha256", 100, here}, {"call-mistyped", 1000, here}}, 1040, true, "FAIL: over budget"},
		{"4 % less passes with a hint", []row{{"sha256", 100, here}, {"call-mistyped", 1000, here}}, 960, false, "lower the budget"},
		{"a scenario without a budget fails", []row{{"sha256", 100, here}}, 1000, true, "FAIL: has no budget"},
		{"a budget without a scenario fails", []row{{"sha256", 100, here}, {"call-mistyped", 1000, here}, {"gone", 5, here}}, 1000, true, "FAIL: is no scenario"},
		{"nothing counted fails", []row{{"sha256", 100, here}, {"call-mistyped", 1000, here}}, 0, true, "FAIL: was not counted"},
		{"another version of Go is not judged", []row{{"sha256", 100, here}, {"call-mistyped", 1000, "go1.25.0 amd64+avx2"}}, 2000, false, "budget of go1.25.0"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			g := gate{count: fixed(map[string]int{"sha256": 100, "call-mistyped": c.counted}), all: all, times: 1, budget: c.budget, here: here}
			if err := g.measure(t.Context()); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := g.report(&out); (err != nil) != c.shut || !strings.Contains(out.String(), c.says) {
				t.Errorf("%s: %v, and this should say %q:\n%s", c.rule, err, c.says, &out)
			}
		})
	}
}

// TestGateAsksAgain: one bad count of four is chance, not a regression.
func TestGateAsksAgain(t *testing.T) {
	t.Parallel()
	asked := 0
	g := gate{
		count: serial(func(context.Context, scenario) (int, error) {
			if asked++; asked == 1 {
				return 2000, nil
			}
			return 1000, nil
		}),
		all: matching(regexp.MustCompile("^sha256$")), times: 1, budget: []row{{"sha256", 1000, here}}, here: here,
	}
	if err := g.measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.report(&strings.Builder{}); err != nil || asked != 4 {
		t.Errorf("%v after %d counts, want none after 4", err, asked)
	}
}

// serial lets one count be made at a time.
func serial(count counter) counter {
	turn := make(chan struct{}, 1)
	return func(ctx context.Context, s scenario) (int, error) {
		turn <- struct{}{}
		defer func() { <-turn }()
		return count(ctx, s)
	}
}

func TestMeasureFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if _, err := measure(t.Context(), func(context.Context, scenario) (int, error) { return 0, broken }, scenarios(), 2); !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the counter", err)
	}
}

// TestAccept writes what was counted, keeps what was not, and drops what is no
// scenario any more; reading it gives the same rows.
func TestAccept(t *testing.T) {
	t.Parallel()
	all := matching(regexp.MustCompile("^(sha256|call-mistyped|call-limited)$"))
	old := []row{{"gone", 1, here}, {"sha256", 100, "go1.25.0 amd64"}, {"call-mistyped", 1000, "go1.25.0 amd64"}}
	rows := accept(old, all, map[string]int{"call-mistyped": 900, "call-limited": 70}, here)
	var file strings.Builder
	if err := writeBudget(&file, rows); err != nil {
		t.Fatal(err)
	}
	read, err := readBudget(strings.NewReader(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	want := []row{{"sha256", 100, "go1.25.0 amd64"}, {"call-mistyped", 900, here}, {"call-limited", 70, here}}
	if len(read) != len(want) || read[0] != want[0] || read[1] != want[1] || read[2] != want[2] {
		t.Errorf("%v, want %v, in:\n%s", read, want, &file)
	}
}

func TestBadBudgets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"sha256 100", "sha256 0 go1.26 amd64", "sha256 many go1.26 amd64", "a 1 go1.26 amd64\na 2 go1.26 amd64"} {
		if rows, err := readBudget(strings.NewReader(text)); err == nil {
			t.Errorf("%q is no budget, but was read as %v", text, rows)
		}
	}
}

// TestCommittedBudget: every scenario has a line, and every line a scenario.
func TestCommittedBudget(t *testing.T) {
	t.Parallel()
	rows, err := loadBudget("budget.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios() {
		if len(accept(rows, []scenario{s}, nil, here)) == 0 {
			t.Errorf("%s has no line in budget.txt", s.name)
		}
	}
	for _, f := range orphans(scenarios(), rows) {
		t.Errorf("%s %s", f.name, f.note)
	}
}
