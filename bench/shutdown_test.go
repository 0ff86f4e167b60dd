package main

import (
	"io"
	"os"
	"regexp"
	"testing"
	"time"
)

// TestShutdownSuite runs it with few keys, for an instant; in its long form as it
// is, with all goals.
func TestShutdownSuite(t *testing.T) {
	r := newReport(io.Discard, []string{"-test"})
	if os.Getenv("LATCHKEY_LONG") != "" {
		o := &options{t: t, only: regexp.MustCompile(""), keys: []int{1}, plan: plan{rounds: 3}}
		if err := shutdownSuite(o, r); err != nil {
			t.Fatal(err)
		}
		t.Log(r.markdown())
		for _, missed := range r.missed {
			t.Error(missed)
		}
		return
	}
	shape := shutdownShape{few: 20, many: 60, rounds: 1, every: 100 * time.Millisecond, turn: 50 * time.Millisecond, apiRate: 100, laps: 2}
	if err := shutdownOf(&options{t: t, only: regexp.MustCompile("badger")}, r, shape); err != nil {
		t.Fatal(err)
	}
	lost := false
	for _, v := range r.verdicts {
		if v.figure == "counts that Close lost" {
			lost = true
			if !v.pass {
				t.Errorf("%s: %s, want %s", v.figure, v.measured, v.goal)
			}
		}
	}
	if !lost {
		t.Error("nobody looked whether Close loses counts")
	}
}
