package main

import (
	"fmt"
	"slices"
	"strings"
)

// caveats is what a reader must know before quoting a figure.
var caveats = []string{
	"Handlers are called in process, with a ResponseWriter that writes nowhere and a request object that is used again: no network, no parsing of HTTP. On a real server the differences are a smaller part of the whole.",
	"Contestants on net/http share writer and request objects. fiber runs on fasthttp with an object of its own kind, whose request line is set and whose response is reset each time: compare it with fiber-bare, too.",
	"Limits are so high that nobody is refused for them; the limiters do their work all the same. latchkey counts in the widest of its three counters then. Refusals are in the micro suite.",
	"Only latchkey checks scopes, counts usage, and cuts requests in flight; only latchkey, httprate, echo and fiber send fields that tell of the limits. The hand-written contestants do less.",
	"Most rivals' limiters are not exact: see the accuracy suite before comparing their time.",
	"5 % bad tokens: half mistyped, half well-formed and unknown. latchkey reads its (in-memory) store for each unknown key.",
	"ns are wall time divided by all requests, so with two cores half is the ideal. All contestants of a table are alive at once, and every turn begins with a collection, so that each pays the collector for what it allocates itself. Above 20,000 keys there is one collection a round, and next to none within a turn: time is then shown almost without it.",
	"With more than 20,000 keys the store is a plain map in place of memstore, whose ordered list takes long to fill.",
	"Ratios are medians of the ratios within each round; [lowest, highest]. Compare ratios, not times, between machines.",
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks of %s\n\n", r.at.Format("2006-01-02 15:04"))
	o := r.origin
	fmt.Fprintf(&b, "- machine: %s, %d cores, %s/%s\n- Go: %s, GOMAXPROCS as each table says (default %d), GOGC=%s\n- commit: %s\n- command: `%s`\n\n",
		o.Processor, o.Cores, o.OS, o.Arch, o.Go, o.MaxProcs, o.GOGC, o.Commit, o.Command)
	r.writeVerdicts(&b)
	r.writeAccuracy(&b)
	for _, c := range r.cells() {
		r.writeCell(&b, c)
	}
	for i := range r.distributions {
		r.writeDistribution(&b, i)
	}
	for _, t := range r.tables {
		t.write(&b)
	}
	r.writeSetups(&b)
	b.WriteString("## What this does not show\n\n")
	for _, c := range caveats {
		fmt.Fprintf(&b, "- %s\n", c)
	}
	return b.String()
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

// writeVerdicts writes the goals, all cells of one figure together.
func (r *report) writeVerdicts(b *strings.Builder) {
	if len(r.verdicts) == 0 {
		return
	}
	passed := 0
	for _, v := range r.verdicts {
		if v.pass {
			passed++
		}
	}
	fmt.Fprintf(b, "## Goals\n\n%d of %d pass.\n\n| figure | goal | where | measured | |\n|---|---|---|---:|---|\n", passed, len(r.verdicts))
	for _, group := range r.goals() {
		for i, v := range group {
			mark := "pass"
			if !v.pass {
				mark = "**FAIL**"
			}
			figure, goal := v.figure, v.goal
			if i > 0 {
				figure = ""
				if goal == group[i-1].goal {
					goal = ""
				}
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", figure, goal, v.where, v.measured, mark)
		}
	}
	b.WriteString("\n")
}

// goals returns the verdicts, those of one figure together.
func (r *report) goals() (groups [][]verdict) {
	at := map[string]int{}
	for _, v := range r.verdicts {
		i, ok := at[v.figure]
		if !ok {
			i = len(groups)
			at[v.figure] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], v)
	}
	return groups
}

// writeCell writes one table, below its chart.
func (r *report) writeCell(b *strings.Builder, c cell) {
	fmt.Fprintf(b, "## %s: %s\n\n", c.suite, place(c))
	r.writeChart(b, barChart{r, c}.suffix())
	reference := r.reference(c)
	if reference == nil {
		b.WriteString("| contestant | ns | lowest | highest | B | allocs |\n|---|---:|---:|---:|---:|---:|\n")
	} else {
		fmt.Fprintf(b, "| contestant | ns | lowest | highest | B | allocs | × %s |\n|---|---:|---:|---:|---:|---:|---:|\n", reference.name)
	}
	for _, s := range r.in(c) {
		ns := s.column(nsOf)
		fmt.Fprintf(b, "| %s | %.1f | %.1f | %.1f | %.0f | %.2f |", s.name, median(ns), slices.Min(ns), slices.Max(ns), median(s.column(bytesOf)), median(s.column(allocsOf)))
		if reference != nil {
			fmt.Fprintf(b, " %.2f |", median(ratios(s, reference)))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// writeDistribution writes the quantiles of one distribution, below its chart.
func (r *report) writeDistribution(b *strings.Builder, i int) {
	d := r.distributions[i]
	fmt.Fprintf(b, "## %s\n\n", d.title)
	r.writeChart(b, latencyChart{r, d}.suffix())
	quantiles := d.quantiles()
	t := table{columns: []string{"contestant"}}
	for _, q := range quantiles {
		t.columns = append(t.columns, quantileName(q))
	}
	for _, line := range d.lines {
		cells := []string{line.name}
		for _, q := range quantiles {
			cells = append(cells, line.at(q))
		}
		t.rows = append(t.rows, cells)
	}
	t.writeRows(b)
}

// writeChart writes the reference to a chart, where there is one.
func (r *report) writeChart(b *strings.Builder, suffix string) {
	for _, c := range r.charts() {
		if r.prefix != "" && c.suffix == suffix {
			fmt.Fprintf(b, "![%s](%s%s)\n\n", c.title, r.prefix, suffix)
		}
	}
}

func (t *table) write(b *strings.Builder) {
	fmt.Fprintf(b, "## %s\n\n", t.title)
	if t.note != "" {
		fmt.Fprintf(b, "%s\n\n", t.note)
	}
	t.writeRows(b)
}

func (t *table) writeRows(b *strings.Builder) {
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
