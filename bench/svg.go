package main

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// The charts have a width of their own; what shows them may scale it.
const (
	chartWidth  = 800.0
	chartMargin = 24.0
)

// chartStyle has the colours for light and for dark surroundings. The card is
// painted, too: a page may be dark where the system is light.
const chartStyle = `
text { font-family: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; font-size: 13px; fill: #1f2328; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; paint-order: stroke; }
.card { fill: #ffffff; stroke: #d1d9e0; }
.title { font-size: 18px; font-weight: 600; }
.long { font-size: 14px; }
.small { font-size: 11.5px; fill: #59636e; }
.code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 10.5px; fill: #59636e; }
.strong { font-weight: 600; }
.muted { fill: #59636e; }
.accent { fill: #0969da; }
.rival { fill: #a9b4c0; }
.lesser { fill: #dfe4ea; }
.ours-text { fill: #0969da; font-weight: 600; }
.grid { stroke: #e7ebef; stroke-width: 1; }
.mark { stroke: #0969da; stroke-width: 1; stroke-dasharray: 2 3; opacity: 0.8; }
.whisker { stroke: #424a53; stroke-width: 1.2; fill: none; }
.dot { stroke: #ffffff; stroke-width: 1; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.line.accent { stroke: #0969da; stroke-width: 3; fill: none; }
.c0 { stroke: #9a6700; } .c1 { stroke: #8250df; } .c2 { stroke: #57606a; } .c3 { stroke: #bf3989; } .c4 { stroke: #1a7f37; } .c5 { stroke: #bc4c00; }
.t0 { fill: #9a6700; } .t1 { fill: #8250df; } .t2 { fill: #57606a; } .t3 { fill: #bf3989; } .t4 { fill: #1a7f37; } .t5 { fill: #bc4c00; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; stroke: #0d1117; }
  .card { fill: #0d1117; stroke: #30363d; }
  .small, .code, .muted { fill: #9198a1; }
  .accent { fill: #4493f8; }
  .rival { fill: #656d76; }
  .lesser { fill: #343b44; }
  .ours-text { fill: #4493f8; }
  .grid { stroke: #21262d; }
  .mark { stroke: #4493f8; }
  .whisker { stroke: #b6bec8; }
  .dot { stroke: #0d1117; }
  .line.accent { stroke: #4493f8; fill: none; }
  .c0 { stroke: #d29922; } .c1 { stroke: #ab7df8; } .c2 { stroke: #9198a1; } .c3 { stroke: #db61a2; } .c4 { stroke: #3fb950; } .c5 { stroke: #db6d28; }
  .t0 { fill: #d29922; } .t1 { fill: #ab7df8; } .t2 { fill: #9198a1; } .t3 { fill: #db61a2; } .t4 { fill: #3fb950; } .t5 { fill: #db6d28; }
}
`

// A chart is drawn into a file of its own beside the report, whose name ends
// in suffix.
type chart struct {
	suffix, title string
	draw          func() string
}

// charts returns all charts of the report.
func (r *report) charts() (all []chart) {
	for _, c := range r.cells() {
		if bars := (barChart{r, c}); bars.worthwhile() {
			all = append(all, chart{bars.suffix(), bars.title(), bars.draw})
		}
	}
	for _, d := range r.distributions {
		if lines := (latencyChart{r, d}); len(d.quantiles()) > 1 {
			all = append(all, chart{lines.suffix(), d.title, lines.draw})
		}
	}
	return all
}

// under is the line below the title of every chart.
func (r *report) under() string {
	o := r.origin
	return fmt.Sprintf("%s, %d cores · %s %s/%s · latchkey %s · %s", o.Processor, o.Cores, o.Go, o.OS, o.Arch, o.Commit, r.at.Format(time.DateOnly))
}

// svg is a drawing. All text goes through escape.
type svg struct{ strings.Builder }

// finish puts the drawing on a card of the height, with a title and a
// description for those who do not see it.
func (s *svg) finish(height float64, title, description string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]g" height="%[2]g" viewBox="0 0 %[1]g %[2]g" role="img" aria-labelledby="title description">
<title id="title">%[3]s</title>
<desc id="description">%[4]s</desc>
<style>%[5]s</style>
<rect class="card" x="0.5" y="0.5" width="%[6]g" height="%[7]g" rx="8"/>
%[8]s</svg>
`, chartWidth, height, escape(title), escape(description), chartStyle, chartWidth-1, height-1, s.String())
}

// text writes at x, which is its start, middle or end.
func (s *svg) text(x, y float64, class, anchor, text string) {
	fmt.Fprintf(s, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">%s</text>\n", x, y, class, anchor, escape(text))
}

// pair writes two texts, one after the other, whatever the font.
func (s *svg) pair(x, y float64, class, text, class2, text2 string) {
	fmt.Fprintf(s, "<text x=\"%.1f\" y=\"%.1f\"><tspan class=\"%s\">%s</tspan><tspan dx=\"9\" class=\"%s\">%s</tspan></text>\n",
		x, y, class, escape(text), class2, escape(text2))
}

func (s *svg) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(s, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, class)
}

func (s *svg) rect(x, y, width, height float64, class string) {
	fmt.Fprintf(s, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\" class=\"%s\"/>\n", x, y, max(width, 1), height, class)
}

// header writes the title and the line below it.
func (s *svg) header(title, under string) {
	class := "title"
	if len([]rune(title)) > 70 {
		class = "title long"
	}
	s.text(chartMargin, 36, class, "start", title)
	s.text(chartMargin, 57, "small", "start", under)
}

// footer writes how to read the chart, and how it was made.
func (s *svg) footer(y float64, reading, command string) {
	s.text(chartMargin, y, "small", "start", reading)
	const room = 116 // characters
	if r := []rune(command); len(r) > room {
		command = string(r[:room]) + "…"
	}
	s.text(chartMargin, y+19, "code", "start", command)
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}

// since writes a time with three digits.
func since(ns float64) string {
	unit := []string{"ns", "µs", "ms", "s"}
	i := 0
	for ; ns >= 999.5 && i < len(unit)-1; i++ {
		ns /= 1000
	}
	switch {
	case ns >= 99.5 || ns == float64(int(ns)):
		return fmt.Sprintf("%.0f %s", ns, unit[i])
	case ns >= 9.95:
		return fmt.Sprintf("%.1f %s", ns, unit[i])
	}
	return fmt.Sprintf("%.2f %s", ns, unit[i])
}

// slug makes a part of a file's name.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-")
}
