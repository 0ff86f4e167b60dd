package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAdapters: every adapter is as net/http in every case, but for what it
// declares that it lacks.
func TestAdapters(t *testing.T) {
	table, err := run(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table)
	if len(table.faults) > 0 {
		t.Error("there are faults")
	}
}

// apart are modules beside the adapters that serve no scripts: MCP has tools, not
// requests with an answer of any form, and latchotel guards nothing.
var apart = []string{"middleware/latchmcp", "middleware/latchotel"}

func TestEveryAdapterIsInTheTable(t *testing.T) {
	modules, err := filepath.Glob("../../middleware/latch*/go.mod")
	if err != nil || len(modules) == 0 {
		t.Fatalf("no adapters: %v", err)
	}
	for _, m := range modules {
		dir := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(filepath.ToSlash(m), "../../")))
		if !slices.Contains(apart, dir) && !slices.ContainsFunc(adapters, func(a adapter) bool { return a.dir == dir }) {
			t.Errorf("%s has no column in the table", dir)
		}
	}
}

// TestFaultsAreSeen: what an adapter's tests say is held against the first's.
func TestFaultsAreSeen(t *testing.T) {
	const first = `{"Action":"run","Test":"T/cut"}
{"Action":"attr","Test":"T/cut","Key":"reply","Value":"revoked_key"}
{"Action":"pass","Test":"T/cut"}
{"Action":"pass","Test":"T"}`
	for name, c := range map[string]struct{ events, cell, fault string }{
		"the same":             {first, "ok", ""},
		"another reply":        {strings.Replace(first, "revoked_key", "invalid_key", 1), "DIFFERS", "invalid_key"},
		"a case that fails":    {strings.ReplaceAll(first, "pass", "fail"), "FAILS", "T/cut fails"},
		"a case that is left":  {strings.ReplaceAll(first, "T/cut", "T/other"), "not run", "cut was not run"},
		"a skip for no reason": {strings.ReplaceAll(first, "pass", "skip"), "lacks ", "no ability"},
		"a lie about a lack":   {first + `{"Action":"fail","Test":"T/it_lacks_cut,_as_it_says"}`, "ok", "it_lacks_cut"},
		"a lack that is declared": {strings.ReplaceAll(first, "pass", "skip") +
			`{"Action":"attr","Test":"T/cut","Key":"lacks","Value":"cut"}`, "lacks cut", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got table
			for _, events := range []string{first, c.events} {
				r, err := read(strings.NewReader(events), "T")
				if err != nil {
					t.Fatal(err)
				}
				got.add("x", r, 0)
			}
			if cell := got.cell(1, "cut"); cell != c.cell {
				t.Errorf("the cell is %q, want %q", cell, c.cell)
			}
			if faults := strings.Join(got.faults, "\n"); (c.fault == "") != (faults == "") || !strings.Contains(faults, c.fault) {
				t.Errorf("the faults are %q, want %q", faults, c.fault)
			}
		})
	}
	if _, err := read(strings.NewReader(`{"Action":"build-output","Output":"does not compile"}`), "T"); err == nil || !strings.Contains(err.Error(), "does not compile") {
		t.Errorf("tests that run no case are an error: %v", err)
	}
}

func TestLinesOfCode(t *testing.T) {
	if n := linesOfCode([]byte("// Package p\npackage p\n\n/* a\nb */\nvar x = 1 // one\n\nfunc f() {\n}\n")); n != 4 {
		t.Errorf("got %d lines", n)
	}
}
