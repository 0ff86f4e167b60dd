package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// report gathers what the suites found.
type report struct {
	stderr        io.Writer
	args          []string
	at            time.Time
	setups        []peer
	series        []*series
	accuracy      []accuracyRow
	tables        []table
	distributions []distribution
	verdicts      []verdict
}

// table is what a suite found that is no time of a request in a row of
// contestants.
type table struct {
	title, note string
	columns     []string
	rows        [][]string
}

func newReport(stderr io.Writer, args []string) *report {
	return &report{stderr: stderr, args: args, at: time.Now()}
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
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\npkg: github.com/wontopos/latchkey/bench\ncpu: %s\n", runtime.GOOS, runtime.GOARCH, processor())
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

// save writes the report and the raw results.
func (r *report) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := filepath.Join(dir, r.at.Format(time.DateOnly))
	if err := os.WriteFile(name+".txt", []byte(r.raw()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(name+".md", []byte(r.markdown()), 0o644)
}

// versions returns the versions of all modules in this program.
func versions() map[string]string {
	v := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, m := range info.Deps {
		if m.Replace != nil && m.Replace.Version != "" {
			v[m.Path] = m.Replace.Version
		} else {
			v[m.Path] = m.Version
		}
	}
	return v
}

// commit names the source that was measured.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// processor names the CPU, where the system tells.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
