package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestFlood runs the suite with few keys, for an instant, and in its long form with
// its goals.
func TestFlood(t *testing.T) {
	shape := floodShape{
		keys: 200, inUse: 5, rounds: 1, turn: 300 * time.Millisecond, use: 100, cold: 50,
		floods: []flood{{500, 2 * time.Millisecond}},
	}
	long := os.Getenv("LATCHKEY_LONG") != ""
	if long {
		shape = floodFull
		shape.rounds = 3
	}
	r := newReport(io.Discard, []string{"-test"})
	err := floodOf(&options{t: t}, r, shape)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, errLeftOut) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(r.tables) != len(shape.floods) || len(r.tables[0].rows) != 2 || len(r.verdicts) != 5*len(shape.floods) {
		t.Fatalf("%d tables, %d verdicts", len(r.tables), len(r.verdicts))
	}
	if page := r.markdown(); strings.Contains(page, "%!") || strings.Contains(page, "NaN") {
		t.Error(page)
	}
	if long && len(r.missed) > 0 {
		t.Errorf("missed: %s\n%s", strings.Join(r.missed, "\n"), r.markdown())
	}
}
