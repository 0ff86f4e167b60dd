// Command gate counts the instructions of the hot path and holds them to a
// committed budget, budget.txt. Unlike time, the count does not depend on what
// else the machine does, so that a change of a few percent is seen on any.
//
//	make gate          # compare
//	make gate-accept   # write what is counted into the budget
//
// It runs itself under valgrind's callgrind, once with few and once with many
// operations of a scenario: the difference is what the operations cost, and the
// set-up is in neither. What is left of chance (hash seeds, ids, the heap's
// growth) moves a figure by less than one percent; a figure that fails is
// counted twice more, and the median decides.
//
// What it does not see: cache misses, contention, SHA instructions, the kernel.
// For those there is the bench module.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, err)
		}
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	f := flag.NewFlagSet("gate", flag.ContinueOnError)
	file := f.String("budget", "tools/gate/budget.txt", "the budget")
	write := f.Bool("accept", false, "write what is counted into the budget; each figure is then the median of three counts")
	only := f.String("only", "", "only the scenarios whose names match this regular expression")
	times := f.Int("times", 0, "counts of each scenario, of which the median is taken; default 1, and 3 with -accept")
	perform := f.String("perform", "", "do one scenario, and count nothing: for valgrind, or for a profiler")
	n := f.Int("n", often, "how often -perform does it")
	if err := f.Parse(args); err != nil {
		return err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if *perform != "" {
		all := scenarios()
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == *perform })
		if i < 0 {
			return fmt.Errorf("-perform: no scenario %q", *perform)
		}
		return all[i].perform(*n)
	}
	if *times < 1 {
		*times = 1
		if *write {
			*times = 3
		}
	}
	count, err := callgrind()
	if err != nil {
		return err
	}
	budget, err := loadBudget(*file)
	if err != nil && !(*write && errors.Is(err, os.ErrNotExist)) {
		return err
	}
	g := gate{count: count, all: matching(match), times: *times, budget: budget, here: conditions()}
	start := time.Now()
	if *write {
		if g.counted, err = measure(ctx, g.count, g.all, g.times); err != nil {
			return err
		}
		writeTable(stdout, g.findings()) // against the old budget
		fmt.Fprintf(stdout, "accepted, and written to %s\n", *file)
		return saveBudget(*file, accept(budget, scenarios(), g.counted, g.here))
	}
	if err := g.measure(ctx); err != nil {
		return err
	}
	err = g.report(stdout)
	fmt.Fprintf(stdout, "%d scenarios in %.0f s on %d processors\n", len(g.all), time.Since(start).Seconds(), runtime.NumCPU())
	return err
}

func loadBudget(name string) ([]row, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	rows, err := readBudget(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rows, nil
}

func saveBudget(name string, rows []row) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(writeBudget(f, rows), f.Close())
}

// gate is one run.
type gate struct {
	count   counter
	all     []scenario
	times   int
	budget  []row
	here    string
	counted map[string]int
}

// measure counts everything, and what fails twice more.
func (g *gate) measure(ctx context.Context) (err error) {
	if g.counted, err = measure(ctx, g.count, g.all, g.times); err != nil {
		return err
	}
	var doubtful []scenario
	for _, f := range having(breaks, g.findings()) {
		i := slices.IndexFunc(g.all, func(s scenario) bool { return s.name == f.name })
		if f.budget > 0 && i >= 0 {
			doubtful = append(doubtful, g.all[i])
		}
	}
	again, err := measure(ctx, g.count, doubtful, 3)
	maps.Copy(g.counted, again)
	return err
}

func (g *gate) findings() []finding {
	names := make([]string, len(g.all))
	for i, s := range g.all {
		names[i] = s.name
	}
	return append(compare(names, g.counted, g.budget, g.here), orphans(scenarios(), g.budget)...)
}

// report writes the table, and what to do about it. It returns an error when
// the gate is shut.
func (g *gate) report(w io.Writer) error {
	found := g.findings()
	writeTable(w, found)
	if n := len(having(other, found)); n > 0 {
		fmt.Fprintf(w, "not judged: %d, because the budget was counted elsewhere (here: %s)\n", n, g.here)
	}
	if n := len(having(saves, found)); n > 0 {
		fmt.Fprintf(w, "more than %.0f %% below budget: %d; keep the gain with \"make gate-accept\"\n", tolerance, n)
	}
	if n := len(having(breaks, found)); n > 0 {
		return fmt.Errorf("gate: %d of %d fail (more than %.0f %% over budget, or not in both lists); if that is meant, \"make gate-accept\" and say why in the commit", n, len(found), tolerance)
	}
	return nil
}
