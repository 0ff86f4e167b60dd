package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sampled is a report with everything in it, of figures that we made up.
func sampled() *report {
	r := newReport(io.Discard, []string{"-suite", "<all> & more"})
	r.origin = origin{Processor: "A Processor", Cores: 2, OS: "linux", Arch: "amd64", Go: "go1.26.0", Commit: "abc1234", Command: "go run ./bench -suite '<all> & more'"}
	r.at = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	r.setup(peer{name: "bare", how: "the handler alone", does: admitAll})
	r.setup(peer{name: "hand<typical>&", how: "a map", does: verifyAndLimit})
	for i, name := range []string{"bare", "hand<typical>&", "latchkey-Require"} {
		for _, c := range []cell{{"peers", 10_000, zipfBad, 1}, {"peers", 10_000, zipfBad, 2}, {"micro", 1, hot, 1}} {
			s := &series{cell: c, name: name}
			for round := range 7 {
				s.samples = append(s.samples, sample{n: 100, ns: float64(20 + 700*i + 40*round), bytes: 16, allocs: 1})
			}
			r.add(s)
		}
	}
	r.accuracy = []accuracyRow{{"latchkey-Window", 60, "a burst", 59}}
	r.tables = append(r.tables, table{title: "Memory", columns: []string{"what", "bytes"}})
	r.row("Memory", "a key", "1024")
	r.goal(true, "figure", "here", "1", "<= 2")
	r.goal(true, "another", "here", "1", "<= 1")
	r.goal(false, "figure", "there", "3", "<= 2")
	d := distribution{title: "Latency at 5,000 requests/s over HTTP/1.1"}
	for i, name := range []string{"hand-typical", "echo-keyauth+2limiters", "latchkey-Require", "fiber-keyauth+2sliding", "bare"} {
		line := latencyLine{name: name}
		for j, q := range []float64{0.5, 0.9, 0.99, 0.999, 0.9999, 1} {
			us := []int{90, 140, 310, 900, 2400, 7000}[j] * (10 + 3*((i*2)%5)) / 10
			line.points = append(line.points, latencyPoint{q, time.Duration(us) * time.Microsecond})
		}
		d.lines = append(d.lines, line)
	}
	r.distributions = append(r.distributions, d)
	return r
}

// TestSave: every file that the page shows is there, and every chart is
// well-formed XML with a title and a description.
func TestSave(t *testing.T) {
	t.Parallel()
	r, dir := sampled(), t.TempDir()
	if to := os.Getenv("BENCH_CHARTS"); to != "" { // to look at them
		dir = to
	}
	if err := r.save(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "2026-03-01.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-peers-10000-zipf5-1.svg", "-peers-10000-zipf5-2.svg", "-latency-latency-at-5-000-requests-s-over-http-1-1.svg"} {
		name := "2026-03-01" + suffix
		if !strings.Contains(string(page), "("+name+")") {
			t.Errorf("the page does not show %s", name)
		}
		f, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		for d := xml.NewDecoder(strings.NewReader(string(f))); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
		for _, want := range []string{"<title id=", "<desc id=", "latchkey-Require", "abc1234", "&lt;all&gt;", "prefers-color-scheme"} {
			if !strings.Contains(string(f), want) {
				t.Errorf("%s: no %q in it", name, want)
			}
		}
	}
	if charts, _ := filepath.Glob(filepath.Join(dir, "*.svg")); len(charts) != 3 {
		t.Errorf("charts %q, want 3: none of the micro suite", charts)
	}
}

// TestPage: goals come first, those of one figure together.
func TestPage(t *testing.T) {
	t.Parallel()
	page := sampled().markdown()
	want := "## Goals\n\n2 of 3 pass.\n\n| figure | goal | where | measured | |\n|---|---|---|---:|---|\n" +
		"| figure | <= 2 | here | 1 | pass |\n|  |  | there | 3 | **FAIL** |\n| another | <= 1 | here | 1 | pass |\n"
	if !strings.Contains(page, want) {
		t.Errorf("goals are not as they should be:\n%s", page)
	}
	if first := strings.Index(page, "\n## "); !strings.HasPrefix(page[first:], "\n## Goals") {
		t.Error("the first section is not Goals")
	}
	if strings.Contains(page, "![") {
		t.Error("a page that is not saved shows charts")
	}
}

// TestJSON holds the shape to what README.md says.
func TestJSON(t *testing.T) {
	t.Parallel()
	text, err := sampled().json()
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Schema    int
		Processor string
		Goals     []struct{ Pass bool }
		Cells     []struct {
			Suite, Reference string
			Series           []struct {
				Contestant string
				Ratio      float64
				Samples    []struct{ NS, Bytes float64 }
			}
		}
		Distributions []struct {
			Lines []struct {
				Points []struct{ Quantile, NS float64 }
			}
		}
		Tables []struct{ Rows [][]string }
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	if d.Schema != 1 || d.Processor != "A Processor" || len(d.Goals) != 3 || len(d.Cells) != 3 || d.Tables[0].Rows[0][1] != "1024" {
		t.Errorf("%+v", d)
	}
	c := d.Cells[0]
	if c.Suite != "peers" || c.Reference != "latchkey-Require" || len(c.Series) != 3 || c.Series[2].Ratio != 1 || len(c.Series[0].Samples) != 7 || c.Series[0].Samples[1].NS != 60 {
		t.Errorf("%+v", c)
	}
	if p := d.Distributions[0].Lines[0].Points; len(p) != 6 || p[5].Quantile != 1 || p[0].NS != 90_000 {
		t.Errorf("%+v", p)
	}
	if strings.Contains(text, "null") {
		t.Error("an empty list is null")
	}
}

// TestChartsOfLittle draws what is at the edge: one round, one quantile, times
// of nothing.
func TestChartsOfLittle(t *testing.T) {
	t.Parallel()
	r := newReport(io.Discard, nil)
	c := cell{"load", 1, hot, 1}
	r.add(&series{cell: c, name: "a", samples: []sample{{n: 1}}}, &series{cell: c, name: "b", samples: []sample{{n: 1}}}, &series{cell: c, name: "none"})
	r.distributions = []distribution{
		{title: "empty"},
		{title: "same", lines: []latencyLine{{"a", []latencyPoint{{0.5, 0}, {1, 0}}}, {"b", nil}}},
	}
	for _, c := range r.charts() {
		if drawn := c.draw(); strings.Contains(drawn, "NaN") || strings.Contains(drawn, "Inf") {
			t.Errorf("%s%s", c.title, drawn)
		}
	}
	_ = r.markdown()
	if _, err := r.json(); err != nil {
		t.Error(err)
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for end, want := range map[float64]string{
		100: "[0 20 40 60 80 100]", 4300: "[0 1000 2000 3000 4000]", 1200: "[0 500 1000]", 250: "[0 50 100 150 200 250]", 7000: "[0 2000 4000 6000]",
	} {
		if got := fmt.Sprint(ticks(end)); got != want {
			t.Errorf("ticks(%g) are %s, want %s", end, got, want)
		}
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	for ns, want := range map[float64]string{0: "0 ns", 7.126: "7.13 ns", 16.24: "16.2 ns", 312.4: "312 ns", 999.7: "1.00 µs", 1830: "1.83 µs", 5e6: "5 ms", 2.5e9: "2.50 s"} {
		if got := since(ns); got != want {
			t.Errorf("%g ns is written %q, want %q", ns, got, want)
		}
	}
}

func TestSuiteFlag(t *testing.T) {
	t.Parallel()
	if all, err := chosenSuites("all"); err != nil || len(all) != len(suites) {
		t.Errorf("all is %q, %v", all, err)
	}
	for _, bad := range []string{"", "peer", "peers,peers", "all,micro"} {
		if names, err := chosenSuites(bad); err == nil {
			t.Errorf("-suite %q chose %q", bad, names)
		}
	}
	var help strings.Builder
	writeSuites(&help)
	for name := range suites {
		if !strings.Contains(help.String(), "  "+name+" ") {
			t.Errorf("-h does not say what suite %s is:\n%s", name, &help)
		}
	}
}
