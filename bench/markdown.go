package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// caveats is what a reader must know before quoting a figure.
const caveats = `## What this does not show

- Handlers are called in process, with a ResponseWriter that writes nowhere and a request object that is used again: no
  network, no parsing of HTTP. On a real server the differences are a smaller part of the whole.
- Contestants on net/http share writer and request objects. fiber runs on fasthttp with an object of its own kind, whose
  request line is set and whose response is reset each time: compare it with fiber-bare, too.
- Limits are so high that nobody is refused for them; the limiters do their work all the same. latchkey counts in the
  widest of its three counters then. Refusals are in the micro suite.
- Only latchkey checks scopes, counts usage, and cuts requests in flight; only latchkey, httprate, echo and fiber send
  fields that tell of the limits. The hand-written contestants do less.
- Most rivals' limiters are not exact: see the accuracy suite before comparing their time.
- 5 % bad tokens: half mistyped, half well-formed and unknown. latchkey reads its (in-memory) store for each unknown key.
- ns are wall time divided by all requests, so with two cores half is the ideal. All contestants of a table are alive at
  once, and every turn begins with a collection, so that each pays the collector for what it allocates itself. Above
  20,000 keys there is one collection a round, and next to none within a turn: time is then shown almost without it.
- With more than 20,000 keys the store is a plain map in place of memstore, whose ordered list takes long to fill.
- Ratios are medians of the ratios within each round; [lowest, highest]. Compare ratios, not times, between machines.
`

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks of %s\n\n", r.at.Format("2006-01-02 15:04"))
	fmt.Fprintf(&b, "- machine: %s, %d cores, %s/%s\n- Go: %s, GOMAXPROCS as each table says (default %d), GOGC=%s\n- commit: %s\n- command: `go run ./bench %s`\n\n",
		processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), runtime.GOMAXPROCS(0), orDefault(os.Getenv("GOGC"), "100"), commit(), strings.Join(r.args, " "))
	r.writeVerdicts(&b)
	r.writeAccuracy(&b)
	for i, s := range r.series {
		if i == 0 || s.cell != r.series[i-1].cell {
			r.writeCell(&b, s.cell)
		}
	}
	for _, t := range r.tables {
		t.write(&b)
	}
	r.writeSetups(&b)
	b.WriteString(caveats)
	return b.String()
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

func (r *report) writeVerdicts(b *strings.Builder) {
	if len(r.verdicts) == 0 {
		return
	}
	b.WriteString("## Goals\n\n| figure | where | measured | goal | |\n|---|---|---:|---:|---|\n")
	for _, v := range r.verdicts {
		mark := "pass"
		if !v.pass {
			mark = "**FAIL**"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", v.figure, v.where, v.measured, v.goal, mark)
	}
	b.WriteString("\n")
}

// writeCell writes one table. The reference of the ratio is the contestant
// that the goals are mostly about.
func (r *report) writeCell(b *strings.Builder, c cell) {
	fmt.Fprintf(b, "## %s: %d keys, %s, %d CPU\n\n", c.suite, c.keys, c.load, c.cpu)
	reference := map[string]string{"peers": "latchkey-Require", "limiters": "latchkey-Window", "micro": "hand-careful"}[c.suite]
	ours := r.find(c, reference)
	if ours == nil {
		b.WriteString("| contestant | ns | lowest | highest | B | allocs |\n|---|---:|---:|---:|---:|---:|\n")
	} else {
		fmt.Fprintf(b, "| contestant | ns | lowest | highest | B | allocs | × %s |\n|---|---:|---:|---:|---:|---:|---:|\n", reference)
	}
	for _, s := range r.series {
		if s.cell != c {
			continue
		}
		ns := s.column(nsOf)
		fmt.Fprintf(b, "| %s | %.1f | %.1f | %.1f | %.0f | %.2f |", s.name, median(ns), slices.Min(ns), slices.Max(ns), median(s.column(bytesOf)), median(s.column(allocsOf)))
		if ours != nil {
			fmt.Fprintf(b, " %.2f |", median(ratios(s, ours)))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func (t *table) write(b *strings.Builder) {
	fmt.Fprintf(b, "## %s\n\n", t.title)
	if t.note != "" {
		fmt.Fprintf(b, "%s\n\n", t.note)
	}
	line := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.columns)
	line(slices.Repeat([]string{"---"}, len(t.columns)))
	for _, cells := range t.rows {
		line(cells)
	}
	b.WriteString("\n")
}

func (r *report) writeSetups(b *strings.Builder) {
	if len(r.setups) == 0 {
		return
	}
	b.WriteString("## Contestants\n\n| contestant | version | set-up |\n|---|---|---|\n")
	v := versions()
	for _, p := range r.setups {
		version := "-"
		if p.module != "" {
			version = p.module + " " + orDefault(v[p.module], "(unknown version)")
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", p.name, version, p.how)
	}
	b.WriteString("\nBefore they were timed, all of them admitted and refused the same requests (twice 5 of 8 for each key, and every bad key), as far\nas they have limits and keys.\n\n")
}
