package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// quantiles returns the quantiles of all lines, in order.
func (d *distribution) quantiles() (all []float64) {
	for _, l := range d.lines {
		for _, p := range l.points {
			all = append(all, p.quantile)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// at writes the latency at a quantile.
func (l *latencyLine) at(quantile float64) string {
	for _, p := range l.points {
		if p.quantile == quantile {
			return since(float64(p.latency))
		}
	}
	return "-"
}

func quantileName(q float64) string {
	if q >= 1 {
		return "max"
	}
	return fmt.Sprintf("%.6g %%", 100*q)
}

// latencyChart shows how latencies are distributed: each further nine of the
// quantile takes as much of the width as the one before.
type latencyChart struct {
	*report
	of distribution
}

func (c latencyChart) suffix() string { return "-latency-" + slug(c.of.title) + ".svg" }

// nines is the place of a quantile on the axis; the slowest of all comes as
// one more nine than the last that there is.
func (c latencyChart) nines(q float64) float64 {
	of := func(q float64) float64 { return -math.Log10(1 - q) }
	if q < 1 {
		return of(q)
	}
	last := 0.0
	for _, q := range c.of.quantiles() {
		if q < 1 {
			last = max(last, of(q))
		}
	}
	return last + 0.7
}

func (c latencyChart) draw() string {
	const top, bottom, left = 96.0, 396.0, 78.0
	quantiles := c.of.quantiles()
	longest, low, high := 0, math.Inf(1), 0.0
	for _, l := range c.of.lines {
		longest = max(longest, len(l.name))
		for _, p := range l.points {
			low, high = min(low, float64(p.latency)), max(high, float64(p.latency))
		}
	}
	low, high = max(low, 1), max(high, 1)
	right := chartWidth - chartMargin - 7.2*float64(longest) - 12
	first, last := c.nines(quantiles[0]), c.nines(quantiles[len(quantiles)-1])
	x := func(q float64) float64 { return left + (right-left)*(c.nines(q)-first)/max(last-first, 0.1) }

	// A linear axis, unless the short latencies would lie on its floor.
	what := "Latency by quantile"
	from, to, steps := 0.0, high*1.05, ticks(high*1.05)
	scale := func(ns float64) float64 { return ns }
	if high > 8*low {
		what += ", both axes logarithmic"
		steps = decades(low, high)
		scale = func(ns float64) float64 { return math.Log10(max(ns, 1)) }
		from, to = scale(low/1.25), scale(high*1.25)
	}
	y := func(ns float64) float64 { return bottom - (bottom-top)*(scale(ns)-from)/(to-from) }

	var s svg
	s.header(c.of.title, c.under())
	s.text(chartMargin, 80, "strong", "start", what)
	for _, tick := range steps {
		s.line(left, y(tick), right, y(tick), "grid")
		s.text(left-10, y(tick)+4, "small", "end", tickName(tick))
	}
	for _, q := range quantiles {
		s.line(x(q), top, x(q), bottom, "grid")
		s.text(x(q), bottom+18, "small", "middle", quantileName(q))
	}
	labels, description := c.lines(&s, x, y)
	spread(labels, 15, top+4, bottom+4)
	for _, l := range labels {
		s.text(right+10, l.y+4.5, l.class, "start", l.name)
	}
	s.footer(bottom+46, "The part of all requests that took no longer; each nine is as wide as the one before.", c.origin.Command)
	return s.finish(bottom+83, c.of.title, description)
}

// label is a name at the end of a line.
type label struct {
	name, class string
	y           float64
}

// lines draws the contestants, ours last and so on top.
func (c latencyChart) lines(s *svg, x, y func(float64) float64) (labels []label, description string) {
	var words strings.Builder
	words.WriteString("Latencies by quantile.")
	lines := slices.SortedStableFunc(slices.Values(c.of.lines), func(a, b latencyLine) int {
		return cmp.Compare(rank(a.name), rank(b.name))
	})
	rivals := 0
	for _, l := range lines {
		if len(l.points) == 0 {
			continue
		}
		stroke, fill, text := "accent", "accent", "ours-text"
		if !ours(l.name) {
			stroke, fill = fmt.Sprintf("c%d", rivals%6), fmt.Sprintf("t%d", rivals%6)
			text = fill
			rivals++
		}
		var path []string
		fmt.Fprintf(&words, " %s:", l.name)
		for _, p := range l.points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", x(p.quantile), y(float64(p.latency))))
			fmt.Fprintf(&words, " %s %s", quantileName(p.quantile), since(float64(p.latency)))
		}
		words.WriteString(".")
		fmt.Fprintf(s, "<polyline class=\"line %s\" points=\"%s\"/>\n", stroke, strings.Join(path, " "))
		for _, p := range path {
			x, y, _ := strings.Cut(p, ",")
			fmt.Fprintf(s, "<circle class=\"dot %s\" cx=\"%s\" cy=\"%s\" r=\"3.5\"/>\n", fill, x, y)
		}
		labels = append(labels, label{l.name, text, y(float64(l.points[len(l.points)-1].latency))})
	}
	return labels, words.String()
}

func rank(name string) int {
	if ours(name) {
		return 1
	}
	return 0
}

// spread moves labels apart, as little as need be, between top and bottom.
func spread(all []label, gap, top, bottom float64) {
	slices.SortStableFunc(all, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	for i := range all {
		low := top
		if i > 0 {
			low = all[i-1].y + gap
		}
		all[i].y = max(all[i].y, low)
	}
	for i := len(all) - 1; i >= 0; i-- {
		high := bottom
		if i < len(all)-1 {
			high = all[i+1].y - gap
		}
		all[i].y = min(all[i].y, high)
	}
}

// decades returns 1, 2, 5, 10, … between two numbers, or only the powers of
// ten when those are many.
func decades(low, high float64) (all []float64) {
	parts := []float64{1, 2, 5}
	if high/low > 1000 {
		parts = []float64{1}
	}
	for power := math.Pow(10, math.Floor(math.Log10(low))); power <= high; power *= 10 {
		for _, part := range parts {
			if tick := power * part; tick >= low/1.25 && tick <= high*1.25 {
				all = append(all, tick)
			}
		}
	}
	return all
}
