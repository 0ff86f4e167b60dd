package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// result is what the tests of an adapter said.
type result struct {
	cases []string // in order
	cells map[string]*cell
	fails []string // tests that failed
}

// cell is what an adapter does in a case.
type cell struct {
	action  string   // pass, fail or skip
	lacks   string   // the ability for want of which it was skipped
	replies []string // what clients saw
}

// run runs the tests of all adapters of a tree.
func run(ctx context.Context, root string) (*table, error) {
	t := new(table)
	for _, a := range adapters {
		events, err := test(ctx, filepath.Join(root, a.dir), a.test)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.dir, err)
		}
		r, err := read(bytes.NewReader(events), a.test)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.dir, err)
		}
		lines := 0
		if a.dir != "middleware" { // which does far more
			if lines, err = linesOf(filepath.Join(root, a.dir)); err != nil {
				return nil, err
			}
		}
		t.add(a.name, r, lines)
	}
	return t, nil
}

// test runs a test of a package and returns its events. A test that fails is no
// error.
func test(ctx context.Context, dir, name string) ([]byte, error) {
	args := []string{"test", "-json", "-run", "^" + name + "$", "."}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" { // the packages were built with it already
				args = append(args[:1:1], append([]string{"-race"}, args[1:]...)...)
			}
		}
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), "GOWORK=off"), os.Stderr
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil
	}
	return out, err
}

// read reads the events of a test with a subtest for each case; see "go doc
// test2json".
func read(events io.Reader, test string) (*result, error) {
	r := &result{cells: map[string]*cell{}}
	var output strings.Builder
	for lines := json.NewDecoder(events); ; {
		var e struct{ Action, Test, Output, Key, Value string }
		if err := lines.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		if e.Action == "output" || e.Action == "build-output" {
			output.WriteString(e.Output)
		}
		if e.Action == "fail" && e.Test != "" {
			r.fails = append(r.fails, e.Test)
		}
		name, ok := strings.CutPrefix(e.Test, test+"/")
		if !ok || strings.HasPrefix(name, "it_lacks_") {
			continue
		}
		c := r.cells[name]
		if c == nil {
			c = new(cell)
			r.cells[name] = c
			r.cases = append(r.cases, name)
		}
		switch {
		case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
			c.action = e.Action
		case e.Action == "attr" && e.Key == "reply":
			c.replies = append(c.replies, e.Value)
		case e.Action == "attr" && e.Key == "lacks":
			c.lacks = e.Value
		}
	}
	if len(r.cases) == 0 {
		return nil, fmt.Errorf("%s ran no case:\n%s", test, &output)
	}
	return r, nil
}
