package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestShared runs the suite with few keys, for an instant. Its goals of time say
// nothing then; those of bytes and of accuracy hold.
func TestShared(t *testing.T) {
	r := newReport(io.Discard, []string{"-test"})
	shape := sharedShape{keys: 200, rounds: 1, batches: 1, batch: 16, flood: 100 * time.Millisecond}
	if os.Getenv("LATCHKEY_LONG") != "" {
		shape.edge = time.Second // which takes six of them
	}
	if err := sharedOf(&options{t: t, only: regexp.MustCompile("")}, r, shape); err != nil {
		t.Fatal(err)
	}
	if len(r.tables) == 0 {
		t.Skip("there is neither Redis nor PostgreSQL here")
	}
	for _, missed := range r.missed {
		t.Error(missed)
	}
	if page := r.markdown(); strings.Contains(page, "%!") || strings.Contains(page, "NaN") {
		t.Error(page)
	}
}
