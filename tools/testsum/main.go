// Command testsum runs the tests of modules, several at a time, and prints a short account of them: a line per package
// with its seconds, the full output of what failed, the seconds of each module, every skipped test with its reason, the
// packages that took more than their budget of seconds, and last, alone on a line, "N passed, N failed, N skipped".
//
//	testsum [-j N] COMMAND MODULE ...
//
// COMMAND takes the directory of a module and prints one or more "go test -json" streams. It fails if go does, so that
// a go command that dies without a JSON event is still counted.
//
// Testsum exits non-zero when anything failed, when nothing ran, when a package took more than three times its budget,
// or, under CI=true, when a test was skipped because the machine lacks a component. A test says so with
//
//	t.Skip("missing component: NAME: how to install it")
//
// Budgets are in budget.txt, and do not count when LATCHKEY_LONG is set.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"sync"
)

func main() {
	jobs := flag.Int("j", 1, "how many modules to test at a time")
	flag.Parse()
	if flag.NArg() < 2 || *jobs < 1 {
		fail("usage: testsum [-j N] COMMAND MODULE ...")
	}
	b, err := readBudget(budgetText)
	if err != nil {
		fail(err)
	}
	if os.Getenv("LATCHKEY_LONG") != "" {
		b = budget{}
	}
	ci := os.Getenv("CI")
	s := &summary{out: os.Stdout, strict: ci == "true" || ci == "1", budget: b}
	modules := make(chan string)
	var workers sync.WaitGroup
	for range *jobs {
		workers.Go(func() {
			for module := range modules {
				s.run(flag.Arg(0), module)
			}
		})
	}
	for _, module := range flag.Args()[1:] {
		modules <- module
	}
	close(modules)
	workers.Wait()
	if !s.close() {
		os.Exit(1)
	}
}

// run runs the command of a module, and once more for packages in which the race
// detector itself has failed: that says nothing about them.
func (s *summary) run(command, module string) {
	if again := s.once(false, command, module); len(again) > 0 {
		s.once(true, command, append([]string{module}, again...)...)
	}
}

// once runs the command and returns the packages to run again, unless this is
// that time.
func (s *summary) once(last bool, command string, args ...string) (again []string) {
	cmd := exec.Command(command, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fail(err)
	}
	return s.module(args[0], last, out, cmd.Wait)
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, "testsum:", why)
	os.Exit(2)
}
