package admin

import (
	"strconv"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// span is a period on a chart, and what was counted in it.
type span struct {
	From, To time.Time
	Counts   apikey.Counts
}

func (s *span) admitted() uint64 { return s.Counts.Allowed }
func (s *span) refused() uint64  { return s.Counts.Total() - s.Counts.Allowed }

// spans divides the time up to now into n pieces of a length that divides a
// day. The last piece contains now.
func spans(now time.Time, n int, length time.Duration) []span {
	all := make([]span, n)
	from := now.UTC().Truncate(length).Add(-time.Duration(n-1) * length)
	for i := range all {
		all[i] = span{From: from, To: from.Add(length)}
		from = from.Add(length)
	}
	return all
}

// fill adds hourly counts to the spans that contain them.
func fill(all []span, hours []apikey.UsageHour) {
	length := all[0].To.Sub(all[0].From)
	for _, h := range hours {
		if i := int(h.Hour.Sub(all[0].From) / length); !h.Hour.Before(all[0].From) && i < len(all) {
			all[i].Counts.Add(h.Counts)
		}
	}
}

// sparkline shows a month of one key in the space of a word: one step per day,
// for the admitted requests, and behind it for all requests.
type sparkline struct {
	Admitted, All string // SVG path data; All is empty if nothing was refused
	Limit         string // SVG path data of the daily limit, if it is near
	Total         uint64
	Text          string // the same in words
}

const (
	sparkHeight = 22
	sparkStep   = 3 // units per day
)

// spark draws days, oldest first, against a daily limit (0: none). The scale is
// that of the busiest day. A limit within twice that is drawn, so a missing
// line means that the limit is far away.
func spark(days []span, limit uint64) sparkline {
	var s sparkline
	var peak, refused uint64
	for i := range days {
		s.Total += days[i].Counts.Total()
		peak = max(peak, days[i].Counts.Total())
		refused += days[i].refused()
	}
	if peak == 0 {
		s.Text = "no request in " + plural(len(days), "day")
		return s
	}
	top := peak
	near := limit > 0 && limit <= 2*peak
	if near {
		top = max(top, limit)
	}
	s.Admitted = steps(days, top, (*span).admitted)
	if refused > 0 {
		s.All = steps(days, top, func(d *span) uint64 { return d.Counts.Total() })
	}
	if near {
		s.Limit = "M0 " + strconv.Itoa(sparkHeight-scaled(limit, top, sparkHeight)) + "h" + strconv.Itoa(len(days)*sparkStep)
	}
	s.Text = grouped(s.Total) + " requests in " + plural(len(days), "day") + ", at most " + grouped(peak) + " in one"
	if limit > 0 {
		s.Text += " (limit " + grouped(limit) + ")"
	}
	if refused > 0 {
		s.Text += "; " + grouped(refused) + " refused"
	}
	return s
}

// steps is the outline of one number per day; consecutive days of the same
// height share a line.
func steps(days []span, top uint64, number func(*span) uint64) string {
	b := []byte("M0 " + strconv.Itoa(sparkHeight))
	at, wide := sparkHeight, 0
	for i := range days {
		y := sparkHeight - scaled(number(&days[i]), top, sparkHeight)
		if y != at {
			if wide > 0 {
				b = strconv.AppendInt(append(b, 'h'), int64(wide), 10)
			}
			b = strconv.AppendInt(append(b, 'V'), int64(y), 10)
			at, wide = y, 0
		}
		wide += sparkStep
	}
	b = strconv.AppendInt(append(b, 'h'), int64(wide), 10)
	return string(append(b, "V"+strconv.Itoa(sparkHeight)+"z"...))
}

// scaled returns n as part of top in units of height, rounded up so that
// everything is visible.
func scaled(n, top uint64, height int) int {
	if n == 0 {
		return 0
	}
	return max(1, int((float64(n)/float64(top))*float64(height)+.5))
}

// chart is the use of one key over a period, as bars.
type chart struct {
	Width, Height int
	Bars          []chartBar
	Top           string // the number at the full height
	First, Last   string // the times at the two ends
	LimitAt       int    // distance of the limit's line from the top; -1: none
	Limit         string // which limit the line shows, or would show if it were on the scale
	Sum           apikey.Counts
}

// OffScale is a limit above the chart, in short form.
func (c chart) OffScale() string { return strings.Replace(c.Limit, " per ", "/", 1) }

// chartBar is one span: two boxes, for the admitted requests and for the
// refused ones on top.
type chartBar struct {
	X, Width        int
	AdmittedY       int
	AdmittedHeight  int
	RefusedY        int
	RefusedHeight   int
	From, Text      string
	Admitted, Other uint64
}

const (
	chartWidth  = 720
	chartHeight = 140
)

// barChart draws spans, with a line for the limit of one span if it is within
// twice the highest bar.
func barChart(all []span, limit uint64, limitText, layout string) chart {
	c := chart{
		Width: chartWidth, Height: chartHeight, LimitAt: -1,
		First: all[0].From.Format(layout), Last: "now",
	}
	var peak uint64
	for i := range all {
		c.Sum.Add(all[i].Counts)
		peak = max(peak, all[i].Counts.Total())
	}
	top := peak
	if c.Limit = limitText; limit > 0 && limit <= 2*peak {
		top = max(top, limit)
		c.LimitAt = chartHeight - scaled(limit, top, chartHeight)
	}
	c.Top = grouped(top)
	step := chartWidth / len(all)
	for i := range all {
		s := &all[i]
		b := chartBar{X: i * step, Width: step - max(2, step/8), From: s.From.Format(layout), Admitted: s.admitted(), Other: s.refused()}
		b.AdmittedHeight = scaled(b.Admitted, max(top, 1), chartHeight)
		b.RefusedHeight = min(scaled(b.Other, max(top, 1), chartHeight), chartHeight-b.AdmittedHeight)
		b.AdmittedY = chartHeight - b.AdmittedHeight
		b.RefusedY = b.AdmittedY - b.RefusedHeight
		b.Text = b.From + ": " + grouped(b.Admitted) + " admitted"
		if b.Other > 0 {
			b.Text += ", " + grouped(b.Other) + " refused"
		}
		c.Bars = append(c.Bars, b)
	}
	return c
}
