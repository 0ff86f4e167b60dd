package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report gathers what the suites found.
type report struct {
	stderr        io.Writer
	args          []string
	at            time.Time
	origin        origin
	suites        []string
	setups        []peer
	series        []*series
	accuracy      []accuracyRow
	tables        []table
	distributions []distribution
	arming        []float64 // see differences
	verdicts      []verdict
	missed        []string // goals that had to be reached
	// prefix starts the names of the files that the report is saved in; ""
	// while it is only printed, and then it has no charts.
	prefix string
}

// table is what a suite found that is no time of a request in a row of
// contestants.
type table struct {
	title, note string
	columns     []string
	rows        [][]string
}

func newReport(stderr io.Writer, args []string) *report {
	return &report{stderr: stderr, args: args, at: time.Now(), origin: newOrigin(args)}
}

func (r *report) progress(format string, args ...any) {
	fmt.Fprintf(r.stderr, "%5.0fs  %s\n", time.Since(r.at).Seconds(), fmt.Sprintf(format, args...))
}

func (r *report) setup(p peer) {
	if !slices.ContainsFunc(r.setups, func(q peer) bool { return q.name == p.name }) {
		r.setups = append(r.setups, p)
	}
}

func (r *report) add(s ...*series) { r.series = append(r.series, s...) }

// row adds a row to the table with the title, which a suite has added before.
func (r *report) row(title string, cells ...string) {
	i := slices.IndexFunc(r.tables, func(t table) bool { return t.title == title })
	r.tables[i].rows = append(r.tables[i].rows, cells)
}

// goal records what became of a goal.
func (r *report) goal(pass bool, figure, where, measured, goal string) {
	r.verdicts = append(r.verdicts, verdict{figure, where, measured, goal, pass})
}

// cells returns the tables of series, in the order in which they were
// measured.
func (r *report) cells() (all []cell) {
	for _, s := range r.series {
		if len(s.samples) > 0 && !slices.Contains(all, s.cell) {
			all = append(all, s.cell)
		}
	}
	return all
}

// in returns the series of a cell, those that ran.
func (r *report) in(c cell) (all []*series) {
	for _, s := range r.series {
		if s.cell == c && len(s.samples) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// reference returns the contestant that the others of its cell are compared
// with: mostly the one that the goals are about. nil: there is none, as among frameworks.
func (r *report) reference(c cell) *series {
	name, ok := map[string]string{"peers": "latchkey-Require", "limiters": "latchkey-Window", "micro": "hand-careful", "adapters": ""}[c.suite]
	for _, s := range r.in(c) {
		if s.name == name || !ok && s.ours() {
			return s
		}
	}
	return nil
}

// ours reports whether the contestant is this library.
func (s *series) ours() bool { return ours(s.name) }

func ours(name string) bool { return strings.HasPrefix(name, "latch") }

// find returns the series of a contestant in a cell, nil if there is none.
func (r *report) find(c cell, name string) *series {
	for _, s := range r.series {
		if s.cell == c && s.name == name {
			return s
		}
	}
	return nil
}

// raw returns the samples as go test -bench would print them, for benchstat.
func (r *report) raw() string {
	var b strings.Builder
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\npkg: github.com/wontopos/latchkey/bench\ncpu: %s\n", r.origin.OS, r.origin.Arch, r.origin.Processor)
	for _, s := range r.series {
		suffix := ""
		if s.cell.cpu > 1 {
			suffix = fmt.Sprintf("-%d", s.cell.cpu)
		}
		for _, x := range s.samples {
			fmt.Fprintf(&b, "Benchmark%s/keys=%d/load=%s/%s%s\t%d\t%.1f ns/op\t%.0f B/op\t%.2f allocs/op\n",
				strings.ToUpper(s.cell.suite[:1])+s.cell.suite[1:], s.cell.keys, s.cell.load, strings.ReplaceAll(s.name, "-", "_"), suffix, x.n, x.ns, x.bytes, x.allocs)
		}
	}
	return b.String()
}

// save writes the report, the raw results, everything for programs, and the
// charts.
func (r *report) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	r.prefix = r.at.Format(time.DateOnly)
	document, err := r.json()
	if err != nil {
		return err
	}
	files := map[string]string{".txt": r.raw(), ".md": r.markdown(), ".json": document}
	for _, c := range r.charts() {
		files[c.suffix] = c.draw()
	}
	for suffix, content := range files {
		if err := os.WriteFile(filepath.Join(dir, r.prefix+suffix), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
