package main

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestRevoke runs the suite with few requests. That no request is accepted too
// late is no matter of time: it must hold here, too.
func TestRevoke(t *testing.T) {
	r := newReport(io.Discard, nil)
	o := &options{only: regexp.MustCompile("")}
	if err := revokeWith(o, r, revokeShape{inFlight: 20, rounds: 2, clients: 2, hammer: 2 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if len(r.tables) != 2 || len(r.verdicts) != 3*len(revokeStores) || len(r.distributions) != 1 {
		t.Fatalf("%d tables, %d verdicts, %d distributions", len(r.tables), len(r.verdicts), len(r.distributions))
	}
	for _, v := range r.verdicts {
		if strings.HasPrefix(v.figure, "requests accepted") && !v.pass {
			t.Errorf("%s: %s: %s", v.figure, v.where, v.measured)
		}
	}
	for _, table := range r.tables {
		for _, row := range table.rows {
			if len(row) != len(table.columns) {
				t.Errorf("%s: %d cells under %d columns", table.title, len(row), len(table.columns))
			}
		}
	}
	if page := r.markdown(); strings.Contains(page, "%!") {
		t.Error(page)
	}
}

// TestLateAccepts holds the suite itself to its word.
func TestLateAccepts(t *testing.T) {
	called := time.Now()
	at := func(ms int) time.Time { return called.Add(time.Duration(ms) * time.Millisecond) }
	var f lastFigures
	err := f.count([][]attempt{
		{{at(-2), at(-1), 200}, {at(-1), at(3), 200}, {at(3), at(4), 401}},
		{{at(1), at(2), 503}, {at(2), at(5), 200}, {at(6), at(7), 0}},
	}, called, at(1))
	if err != nil {
		t.Fatal(err)
	}
	if f.accepts != 3 || f.refused != 1 || f.broken != 2 || f.late != 1 || f.last[0] != 5e6 || f.revoke[0] != 1e6 {
		t.Errorf("%+v", f)
	}
	if err := f.count([][]attempt{{{at(-2), at(-1), 401}}}, called, at(1)); err == nil {
		t.Error("a good key was refused before it was revoked, and nobody minded")
	}
}
