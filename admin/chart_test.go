package admin_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
)

var outline = regexp.MustCompile(`([hV])(\d+)`)

// heights reads an outline back, a height for each day.
func heights(t interface{ Fatalf(string, ...any) }, path string) []int {
	rest, ok := strings.CutPrefix(path, fmt.Sprintf("M0 %d", admin.SparkHeight))
	if !ok || !strings.HasSuffix(rest, fmt.Sprintf("V%dz", admin.SparkHeight)) {
		t.Fatalf("an outline stands on its base: %s", path)
	}
	var all []int
	at := 0
	for _, m := range outline.FindAllStringSubmatch(rest, -1) {
		n, _ := strconv.Atoi(m[2])
		if m[1] == "V" {
			at = admin.SparkHeight - n
			continue
		}
		for range n / admin.SparkStep {
			all = append(all, at)
		}
	}
	return all
}

// TestSparkline: every day has its height, in proportion, and none that saw a
// request is flat.
func TestSparkline(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, 100), rapid.Uint64Range(0, 1<<40))
		days := make([][2]uint64, 30)
		var peak, refused uint64
		for i := range days {
			days[i] = [2]uint64{count.Draw(t, "admitted"), count.Draw(t, "refused")}
			peak, refused = max(peak, days[i][0]+days[i][1]), refused+days[i][1]
		}
		limit := count.Draw(t, "limit")
		admitted, all, line, text := admin.Sparkline(days, limit)
		if peak == 0 {
			if admitted+all+line != "" || text != "no request in 30 days" {
				t.Fatalf("nothing is drawn of nothing: %q %q", admitted, text)
			}
			return
		}
		top, near := peak, limit > 0 && limit <= 2*peak
		if near {
			top = max(top, limit)
		}
		if near != (line != "") || (refused > 0) != (all != "") {
			t.Fatalf("a limit that is near is drawn, and what was refused: %q %q", line, all)
		}
		check := func(path string, number func(day [2]uint64) uint64) {
			drawn := heights(t, path)
			if len(drawn) != len(days) {
				t.Fatalf("%d days are drawn as %d: %s", len(days), len(drawn), path)
			}
			for i, day := range days {
				n := number(day)
				exact := float64(n) / float64(top) * admin.SparkHeight
				if d := float64(drawn[i]) - exact; (n > 0) != (drawn[i] > 0) || d > 1 || d < -1 || drawn[i] > admin.SparkHeight {
					t.Fatalf("day %d with %d of %d is %d high, want about %.1f", i, n, top, drawn[i], exact)
				}
			}
		}
		check(admitted, func(d [2]uint64) uint64 { return d[0] })
		if all != "" {
			check(all, func(d [2]uint64) uint64 { return d[0] + d[1] })
		}
	})
}

// TestBound: the line on a chart is the tightest limit for the length of a bar.
func TestBound(t *testing.T) {
	t.Parallel()
	free := []apikey.Limit{apikey.PerMinute(60), apikey.PerDay(1000)}
	for _, tc := range []struct {
		limits []apikey.Limit
		length time.Duration
		bound  uint64
		text   string
	}{
		{free, time.Hour, 1000, "1,000 per day"},
		{free, 24 * time.Hour, 1000, "1,000 per day"},
		{[]apikey.Limit{apikey.PerMinute(6000)}, time.Hour, 360_000, "6,000 per minute"},
		{[]apikey.Limit{apikey.PerMinute(10), apikey.PerDay(1000)}, time.Hour, 600, "10 per minute"},
		{nil, time.Hour, 0, ""},
	} {
		if bound, text := admin.BoundOf(tc.limits, tc.length); bound != tc.bound || text != tc.text {
			t.Errorf("%v in %v: %d, %q, want %d, %q", tc.limits, tc.length, bound, text, tc.bound, tc.text)
		}
	}
}
