package main

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// shortly runs a suite in its shortest form and returns the report.
func shortly(t *testing.T, run func(*options, *report) error) *report {
	t.Helper()
	o := &options{t: t, cpus: []int{1}, keys: []int{200}, only: regexp.MustCompile(""), plan: plan{rounds: 1, time: 50 * time.Microsecond}}
	r := newReport(io.Discard, []string{"-test"})
	if err := run(o, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// wantRows fails the test unless each of the tables has each of the names.
func wantRows(t *testing.T, r *report, titles, names []string) {
	t.Helper()
	page := r.markdown()
	for _, title := range titles {
		_, section, found := strings.Cut(page, "## "+title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !found {
			t.Errorf("there is no table %q", title)
		}
		for _, name := range names {
			if !strings.Contains(section, "| "+name+" |") {
				t.Errorf("table %q has no row %q:\n%s", title, name, section)
			}
		}
	}
}

// wantGoals fails the test unless each figure was judged, and passed.
func wantGoals(t *testing.T, r *report, figures ...string) {
	t.Helper()
	for _, figure := range figures {
		found := false
		for _, v := range r.verdicts {
			if v.figure == figure {
				found = true
				if !v.pass {
					t.Errorf("%s, %s: %s, want %s", v.figure, v.where, v.measured, v.goal)
				}
			}
		}
		if !found {
			t.Errorf("nothing was judged by %q", figure)
		}
	}
}

func TestMemory(t *testing.T) {
	r := shortly(t, func(o *options, out *report) error { return memoryOf(o, out, []int{200}, "") })
	wantRows(t, r, []string{inUseTable}, []string{"latchkey-Window", "xtime-rate", "go-limiter", "httprate"})
	wantRows(t, r, []string{idleTable}, []string{"latchkey-Window", "xtime-rate"})
	wantRows(t, r, []string{ourTable}, []string{"cache", "guard"})
	wantGoals(t, r, "store reads of concurrent first uses of one key", "store reads of a cached key")
}

// TestIdleKeysAreCollected holds the suite's way to make keys go idle to its
// word: what is left must not be what they took.
func TestIdleKeysAreCollected(t *testing.T) {
	const keys = 20_000
	r := shortly(t, func(o *options, out *report) error {
		o.only = regexp.MustCompile("^(latchkey-Window|xtime-rate)$")
		out.tables = append(out.tables, table{title: idleTable})
		return limitsIdle(o, out, keys)
	})
	for _, row := range r.tables[0].rows {
		name, used, left := row[0], row[2], row[3]
		if gone := len(left) < len(used)+3; gone != (name == "latchkey-Window") { // digits: 558 and 31.00
			t.Errorf("%s: %s B a key in use, %s left", name, used, left)
		}
	}
}

func TestAdapters(t *testing.T) {
	r := shortly(t, adaptersSuite) // the parity check included
	var names []string
	for _, f := range frameworks() {
		names = append(names, f.name)
		for _, p := range f.peers() {
			names = append(names, p.name)
			if p.name != f.bare.name && p.does != verifyAndLimit {
				t.Errorf("%s does less than the whole job", p.name)
			}
		}
		for _, p := range f.rivals {
			figure := "added to " + f.name + ": " + f.ours.name + " / " + p.name
			if !slices.ContainsFunc(r.verdicts, func(v verdict) bool { return v.figure == figure }) {
				t.Errorf("nothing was judged by %q", figure)
			}
		}
	}
	wantRows(t, r, []string{adaptersTable}, names)
}

func TestStores(t *testing.T) {
	r := shortly(t, storeSuite)
	wantRows(t, r, []string{"store: memstore with 1016 keys", "store: badgerstore with 1016 keys"}, []string{
		"Get, one key | 1", "Get, all keys at random | 1", "List, a page of 100 | 1", "Apply, create | 16", "Apply, revoke | 1",
	})
}

func TestCold(t *testing.T) {
	const keys = 2000
	r := shortly(t, func(o *options, out *report) error { return coldOf(o, out, keys) })
	wantRows(t, r, []string{"cold: first request of a key, 2000 keys in Badger"}, []string{"Service.Verify", "bare Badger, View and Get"})
}
