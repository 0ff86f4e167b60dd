// Command testsum reads one or more "go test -json" streams from standard input and prints a short account of
// them: a line per package, the full output of what failed, every skipped test with its reason, and last, alone
// on a line, "N passed, N failed, N skipped".
//
// It exits non-zero when anything failed, when nothing ran, or, under CI=true, when a test was skipped because the
// machine lacks a component. A test says so with
//
//	t.Skip("missing component: NAME: how to install it")
//
// A script that feeds several modules through one testsum reports how its go commands ended by adding the line
//
//	{"Action":"exit","Package":"DIRECTORY","Code":N}
//
// after its stream, so that a go command that dies without a JSON event is still counted.
package main

import (
	"fmt"
	"os"
)

func main() {
	ci := os.Getenv("CI")
	s := newSummary(os.Stdout, ci == "true" || ci == "1")
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(2)
	}
	if !s.close() {
		os.Exit(1)
	}
}
