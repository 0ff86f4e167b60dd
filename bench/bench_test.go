package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParity(t *testing.T) {
	for _, peers := range [][]peer{wholeJob(), limitersAlone()} {
		for _, p := range peers {
			t.Run(p.name, func(t *testing.T) {
				if err := parity([]peer{p}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestParityFindsDifferences holds the check itself to its word.
func TestParityFindsDifferences(t *testing.T) {
	for _, p := range []peer{handTypical(noLimits), echoBare(), handTypical(rateLimits), latchkeyRequire()} {
		switch p.does {
		case verifyOnly, admitAll:
			p.does = verifyAndLimit
		default:
			p.does = verifyOnly
		}
		if parity([]peer{p}) == nil {
			t.Errorf("%s passed for what it does not do", p.name)
		}
	}
}

// TestSuites runs every contestant of every suite a few times.
func TestSuites(t *testing.T) {
	o := &options{cpus: []int{1, 2}, keys: []int{1, 50}, only: regexp.MustCompile(""), plan: plan{rounds: 1, time: 50 * time.Microsecond}}
	r := newReport(io.Discard, []string{"-test"})
	for name, suite := range map[string]func(*options, *report) error{"peers": peersSuite, "micro": microSuite} {
		if err := suite(o, r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	r.judge()
	dir := t.TempDir()
	if err := r.save(dir); err != nil {
		t.Fatal(err)
	}
	raw, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(raw) != 1 {
		t.Fatal(raw, err)
	}
	var out strings.Builder
	if err := compareFiles(&out, raw[0], raw[0]); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(wholeJob(), limitersAlone()...) {
		if name := strings.ReplaceAll(p.name, "-", "_"); !strings.Contains(out.String(), name) {
			t.Errorf("%s is not in the raw results", name)
		}
	}
	page, err := os.ReadFile(strings.TrimSuffix(raw[0], ".txt") + ".md")
	if err != nil || !strings.Contains(string(page), "| latchkey-Require / hand-typical |") && !strings.Contains(string(page), "latchkey-Require, throughput") {
		t.Errorf("the report has no verdicts: %v\n%s", err, page)
	}
}

// TestAccuracy holds the suite to what must be so: ours admits no more than
// the limit, and the arrivals tell a fixed window.
func TestAccuracy(t *testing.T) {
	r := newReport(io.Discard, nil)
	virtual := regexp.MustCompile("^[^g]") // go-limiter needs real time
	if err := accuracySuite(&options{t: t, only: virtual}, r); err != nil {
		t.Fatal(err)
	}
	for _, row := range r.accuracy {
		switch row.name {
		case "latchkey-Window":
			if row.worst > accuracyLimit || row.least < 58 {
				t.Errorf("%+v", row)
			}
		case "ulule", "fiber-fixed":
			if row.worst < 110 {
				t.Errorf("%+v: the arrivals do not tell a fixed window", row)
			}
		}
	}
}
