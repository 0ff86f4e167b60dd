package admin

import (
	"strconv"
	"strings"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// usagePart shows the use of a key over one period, on its page.
type usagePart struct {
	Periods  []link
	Name     string // of the period, "the last 24 hours"
	Chart    chart
	Admitted uint64
	Refused  uint64
	Many     bool         // at least one in a hundred was refused
	Refusals []refusalRow // they add up to Refused
	Cut      uint64       // of the admitted ones, those interrupted
	Limits   []limitRow
	Day      apikey.Counts // of the last 24 hours, whatever the period
}

type refusalRow struct {
	Reason string
	Count  uint64
	Share  string
}

// limitRow is a limit and how near to it the key came.
type limitRow struct {
	Text string // "1,000 per day"
	Busy string // "812 left", or "busiest of the last 30 days: 188"
	Bar  bool   // whether Used is known
	Used int    // per cent
}

// period is one of the periods for which a key's use is shown.
type period struct {
	value, short, name string
	n                  int
	span               time.Duration
	layout             string // format of the time at which a bar starts
}

var periods = []period{
	{"24h", "24 hours", "the last 24 hours", 24, time.Hour, "15:04 UTC"},
	{"7d", "7 days", "the last 7 days", 28, 6 * time.Hour, "Mon 2 Jan, 15:04 UTC"},
	{"30d", "30 days", "the last 30 days", 30, 24 * time.Hour, "Mon 2 Jan"},
}

// usagePart shows the requested period; by default the last day if it had any
// requests, otherwise the month.
func (c *call) usagePart(use apikey.Usage, limits []apikey.Limit) usagePart {
	all := make([][]span, len(periods))
	var sums [3]apikey.Counts
	for i, p := range periods {
		all[i] = spans(c.now, p.n, p.span)
		fill(all[i], use.Hours)
		for _, s := range all[i] {
			sums[i].Add(s.Counts)
		}
	}
	chosen := 0
	if sums[0].Total() == 0 {
		chosen = len(periods) - 1
	}
	for i, p := range periods {
		if c.r.URL.Query().Get("period") == p.value {
			chosen = i
		}
	}
	p, sum := periods[chosen], sums[chosen]
	part := usagePart{Name: p.name, Admitted: sum.Allowed, Cut: sum.Cut, Day: sums[0]}
	part.Refused = sum.Total() - part.Admitted
	part.Many = part.Refused > 0 && part.Refused*100 >= sum.Total()
	for i, p := range periods {
		part.Periods = append(part.Periods, link{p.short, c.root() + "keys/" + c.key.ID + "?period=" + p.value, i == chosen})
	}
	bound, text := boundOf(limits, p.span)
	part.Chart = barChart(all[chosen], bound, text, p.layout)
	for name, n := range sum.All() {
		if n > 0 && name != "allowed" && name != "cut" {
			part.Refusals = append(part.Refusals, refusalRow{refusalText[name], n, share(n, sum.Total())})
		}
	}
	if part.Limits = c.limitsLeft(); part.Limits == nil {
		part.Limits = busiest(limits, all[2])
	}
	return part
}

// limitsLeft returns what is left of each limit now, including the owner's, or
// nil if that cannot be looked up here.
func (c *call) limitsLeft() []limitRow {
	if c.h.o.Guard == nil || c.key.StateAt(c.now) != apikey.Active {
		return nil
	}
	_, o, err := c.h.o.Guard.Explain(c.r.Context(), latchkey.Question{KeyID: c.key.ID})
	if err != nil {
		return nil // the page is useful without it
	}
	var rows []limitRow
	for l, left := range o.Limits() {
		rows = append(rows, c.limitRow(l, left))
	}
	return rows
}

func (c *call) limitRow(l apikey.Limit, left limiter.Status) limitRow {
	used := max(0, l.N-left.Remaining)
	row := limitRow{Text: limitText(l), Bar: true, Used: int(min(100, used*100/l.N))}
	if strings.HasPrefix(l.Name, "owner-") {
		row.Text += ", all keys together"
	}
	switch {
	case l.Concurrent:
		row.Busy = grouped(uint64(used)) + " in progress now"
	case l.Period != "":
		row.Busy = grouped(uint64(used)) + " used, " + grouped(uint64(left.Remaining)) + " left"
		if _, end, err := l.Span(c.now); err == nil && !end.IsZero() {
			row.Busy += " until " + end.Format("2 January 2006, 15:04 MST")
		}
	default:
		row.Busy = grouped(uint64(left.Remaining)) + " left now"
		if left.Remaining <= 0 && left.Reset > 0 {
			row.Busy += ", more in " + length(left.Reset+time.Second)
		}
	}
	return row
}

// busiest says how near a key came to its daily limits in the last days.
func busiest(limits []apikey.Limit, days []span) []limitRow {
	var rows []limitRow
	for _, l := range limits {
		row := limitRow{Text: limitText(l)}
		if l.Window == 24*time.Hour && l.Unit == "" {
			var peak uint64
			for i := range days {
				peak = max(peak, days[i].admitted())
			}
			row.Bar, row.Busy, row.Used = true, "busiest of the last 30 days: "+grouped(peak), int(min(100, float64(peak)*100/float64(l.N)))
		}
		rows = append(rows, row)
	}
	return rows
}

// boundOf returns the most that the limits admit in a period, as far as whole
// windows show, and the limit that sets this bound.
func boundOf(limits []apikey.Limit, length time.Duration) (bound uint64, text string) {
	for _, l := range limits {
		if l.Window == 0 || l.Unit != "" || l.Shadow { // the chart has no bars for it
			continue
		}
		n := uint64(l.N) * uint64(max(1, length/l.Window))
		if bound == 0 || n < bound {
			bound, text = n, limitText(l)
		}
	}
	return bound, text
}

// share formats n of all in per cent. It shows 0 or 100 only if that is exact.
func share(n, all uint64) string {
	if all == 0 || n == 0 {
		return "0 %"
	}
	if float64(n)*100 < float64(all) {
		return "under 1 %"
	}
	if percent := int(float64(n)/float64(all)*100 + .5); percent < 100 || n == all {
		return strconv.Itoa(percent) + " %"
	}
	return "over 99 %"
}
