package main

import (
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// table has a column for each adapter and a row for each case of the first.
type table struct {
	names   []string
	results []*result
	lines   []int
	faults  []string
}

// add adds an adapter, and finds its faults.
func (t *table) add(name string, r *result, lines int) {
	t.names, t.results, t.lines = append(t.names, name), append(t.results, r), append(t.lines, lines)
	fault := func(format string, args ...any) {
		t.faults = append(t.faults, name+": "+fmt.Sprintf(format, args...))
	}
	for _, failed := range r.fails {
		fault("%s fails", failed)
	}
	first := t.results[0]
	for _, c := range first.cases {
		got, want := r.cells[c], first.cells[c]
		switch {
		case got == nil:
			fault("%s was not run", c)
		case got.action == "skip" && got.lacks == "":
			fault("%s was skipped, and no ability is lacking", c)
		case got.action == "pass" && !slices.Equal(got.replies, want.replies):
			fault("%s: clients are told\n%s\nand not, as over %s,\n%s", c, indent(got.replies), t.names[0], indent(want.replies))
		}
	}
}

func indent(lines []string) string { return "\t" + strings.Join(lines, "\n\t") }

func (t *table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(head string, of func(i int) string) {
		fmt.Fprint(w, head)
		for i := range t.results {
			fmt.Fprint(w, "\t", of(i))
		}
		fmt.Fprintln(w)
	}
	row("", func(i int) string { return t.names[i] })
	for _, c := range t.results[0].cases {
		row(strings.ReplaceAll(c, "_", " "), func(i int) string { return t.cell(i, c) })
	}
	row("lines of code", func(i int) string {
		if t.lines[i] == 0 {
			return ""
		}
		return strconv.Itoa(t.lines[i])
	})
	_ = w.Flush()
	for _, f := range t.faults {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

func (t *table) cell(i int, name string) string {
	c := t.results[i].cells[name]
	switch {
	case c == nil:
		return "not run"
	case c.action == "skip":
		return "lacks " + c.lacks
	case c.action != "pass":
		return "FAILS"
	case !slices.Equal(c.replies, t.results[0].cells[name].replies):
		return "DIFFERS"
	}
	return "ok"
}

// linesOf counts the lines of a package, without tests, comments and blank lines.
func linesOf(dir string) (n int, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		n += linesOfCode(src)
	}
	return n, err
}

func linesOfCode(src []byte) int {
	var s scanner.Scanner
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(src))
	s.Init(file, src, nil, 0)
	lines := map[int]bool{}
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return len(lines)
		}
		if text != "\n" { // a semicolon that nobody wrote
			lines[file.Line(pos)] = true
		}
	}
}
