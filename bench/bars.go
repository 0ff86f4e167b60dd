package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// barChart shows one cell: a bar for each contestant, the fastest on top.
type barChart struct {
	*report
	cell cell
}

func (c barChart) suffix() string {
	return fmt.Sprintf("-%s-%d-%s-%d.svg", slug(c.cell.suite), c.cell.keys, slug(c.cell.load), c.cell.cpu)
}

// worthwhile: the micro suite lists steps of different kinds, which no eye
// should compare.
func (c barChart) worthwhile() bool { return c.cell.suite != "micro" && len(c.in(c.cell)) > 1 }

func (c barChart) title() string {
	what := map[string]string{"peers": "A request with an API key", "limiters": "Limiters alone, two limits a decision"}[c.cell.suite]
	return fmt.Sprintf("%s: %s, %s", orDefault(what, c.cell.suite), counted(c.cell.keys, "key"), counted(c.cell.cpu, "core"))
}

// counted writes a number of things.
func counted(n int, thing string) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n != 1 {
		thing += "s"
	}
	return digits + " " + thing
}

// loads says in words what the loads are.
var loads = map[string]string{
	hot: "the same key over and over", zipfBad: "keys by Zipf 1.1, 5 % bad tokens", zipfAll: "keys by Zipf 1.1", uniform: "all keys equally often",
}

// bar is one contestant.
type bar struct {
	name              string
	low, median, high float64
	ratio             float64 // of the reference; 0 without one
	class             string
}

// bars returns the contestants, the fastest first. What does less than the
// whole job is paler.
func (c barChart) bars() (all []bar) {
	reference := c.reference(c.cell)
	for _, s := range c.in(c.cell) {
		ns := s.column(nsOf)
		b := bar{name: s.name, low: slices.Min(ns), median: median(ns), high: slices.Max(ns), class: "rival"}
		if reference != nil {
			b.ratio = median(ratios(s, reference))
		}
		i := slices.IndexFunc(c.setups, func(p peer) bool { return p.name == s.name })
		switch {
		case s.ours():
			b.class = "accent"
		case i >= 0 && (c.setups[i].does == admitAll || c.setups[i].does == verifyOnly):
			b.class = "lesser"
		}
		all = append(all, b)
	}
	slices.SortStableFunc(all, func(a, b bar) int { return cmp.Compare(a.median, b.median) })
	return all
}

func (c barChart) draw() string {
	const top, rowHeight, thick, values = 104.0, 28.0, 16.0, 132.0
	all, reference := c.bars(), c.reference(c.cell)
	longest, most, highest := 0, 0.0, 0.0
	for _, b := range all {
		longest, most, highest = max(longest, len(b.name)), max(most, b.median), max(highest, b.high)
	}
	// A whisker of bad luck must not press the bars together: it ends at the
	// edge, open.
	edge := max(1, min(highest, 1.25*most))
	left := chartMargin + 8*float64(longest) + 18
	right := chartWidth - chartMargin - values
	at := func(ns float64) float64 { return left + (right-left)*ns/edge }
	bottom := top + rowHeight*float64(len(all))

	var s svg
	s.header(c.title(), c.under())
	c.legend(&s, all)
	for _, tick := range ticks(edge) {
		s.line(at(tick), top-6, at(tick), bottom, "grid")
		s.text(at(tick), bottom+17, "small", "middle", tickName(tick))
	}
	if reference != nil {
		x := at(median(reference.column(nsOf)))
		s.line(x, top-6, x, bottom, "mark")
	}
	var description strings.Builder
	fmt.Fprintf(&description, "Time of a request, %s; the fastest first.", c.loadInWords())
	for i, b := range all {
		y := top + rowHeight*(float64(i)+0.5)
		class := ""
		if b.class == "accent" {
			class = "ours-text"
		}
		s.text(left-12, y+4.5, class, "end", b.name)
		s.rect(left, y-thick/2, at(b.median)-left, thick, b.class)
		low, high := at(b.low), min(at(b.high), right)
		s.line(low, y, high, y, "whisker")
		s.line(low, y-4, low, y+4, "whisker")
		if b.high <= edge {
			s.line(high, y-4, high, y+4, "whisker")
		}
		end := max(at(b.median), high) + 9
		value := since(b.median)
		if reference != nil {
			s.pair(end, y+4.5, "muted", value, orDefault(class, "strong"), times(b.ratio))
		} else {
			s.text(end, y+4.5, "muted", "start", value)
		}
		fmt.Fprintf(&description, " %s: %s (%s to %s)", b.name, value, since(b.low), since(b.high))
		if reference != nil {
			fmt.Fprintf(&description, ", %s", times(b.ratio))
		}
		description.WriteString(".")
	}
	reading := "Bars are medians, whiskers the fastest and the slowest round."
	if reference != nil {
		reading += fmt.Sprintf(" “×”: time as a multiple of %s’s.", reference.name)
	}
	s.footer(bottom+44, reading, c.origin.Command)
	return s.finish(bottom+81, c.title(), description.String())
}

// legend writes the load, and what the colours mean, as far as they occur.
func (c barChart) legend(s *svg, all []bar) {
	const y = 81
	s.text(chartMargin, y, "strong", "start", "Time of a request, "+c.loadInWords())
	type item struct{ class, words string }
	items := slices.DeleteFunc([]item{{"accent", "latchkey"}, {"rival", "others"}, {"lesser", "do less (no limits)"}}, func(l item) bool {
		return !slices.ContainsFunc(all, func(b bar) bool { return b.class == l.class })
	})
	width := func(l item) float64 { return 18 + 5.6*float64(len(l.words)) + 14 }
	x := chartWidth - chartMargin + 14
	for _, l := range items {
		x -= width(l)
	}
	for _, l := range items {
		s.rect(x, y-10, 12, 12, l.class)
		s.text(x+18, y, "small", "start", l.words)
		x += width(l)
	}
}

func (c barChart) loadInWords() string { return orDefault(loads[c.cell.load], c.cell.load) }

// times writes a ratio.
func times(ratio float64) string {
	switch {
	case ratio >= 99.5:
		return fmt.Sprintf("%.0f×", ratio)
	case ratio >= 9.95:
		return fmt.Sprintf("%.1f×", ratio)
	case ratio < 0.01:
		return fmt.Sprintf("%.3f×", ratio)
	}
	return fmt.Sprintf("%.2f×", ratio)
}

// tickName writes the time at a tick: 1.5 µs rather than 1.50 µs.
func tickName(ns float64) string {
	number, unit, _ := strings.Cut(since(ns), " ")
	if number == "0" {
		return number
	}
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + " " + unit
}

// ticks returns up to six round numbers from 0 to the end of an axis.
func ticks(end float64) (all []float64) {
	power := math.Pow(10, math.Floor(math.Log10(end))-1)
	for _, part := range []float64{1, 2, 5, 10, 20} {
		if step := part * power; end/step <= 5.1 {
			for i := 0; float64(i)*step <= end; i++ {
				all = append(all, float64(i)*step)
			}
			return all
		}
	}
	return all
}
