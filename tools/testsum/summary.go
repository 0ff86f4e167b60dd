package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// missingComponent opens the reason of a skip that CI does not forgive.
const missingComponent = "missing component:"

// event is a test event or a build event of "go test -json" (see "go doc test2json" and "go help buildjson").
type event struct {
	Action      string
	Package     string
	Test        string
	ImportPath  string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// pkg is a package whose tests are still running.
type pkg struct {
	output strings.Builder // what belongs to no test
	tests  map[string]*test
	order  []*test
}

type test struct {
	name   string
	action string // pass, fail or skip; empty while it runs
	output strings.Builder
}

// summary turns events into text and counts. It counts leaves: a test with subtests adds to a count only when its
// outcome is its own, so that one failing subtest is one failure and not three.
type summary struct {
	mu     sync.Mutex // streams may come side by side
	out    io.Writer
	strict bool // a missing component fails the run
	budget budget

	passed, failed, skipped int
	missing, overdue        int
	skips, empty, slow      []string
}

// stream is what the command of one module prints.
type stream struct {
	*summary
	running map[string]*pkg
	builds  map[string]*strings.Builder
	last    bool     // there is no other try
	again   []string // packages that are to be tried again
}

// detectorFailed is what the race detector says when it gives up on itself, which
// takes the test binary down: one of its own checks found it broken.
const detectorFailed = "ThreadSanitizer: CHECK failed"

// module reads what the command of a module prints, and then how it ended. It
// returns the packages to try again, unless this is the last try.
func (s *summary) module(name string, last bool, r io.Reader, wait func() error) (again []string) {
	m := &stream{summary: s, running: map[string]*pkg{}, builds: map[string]*strings.Builder{}, last: last}
	began, failed := time.Now(), 0
	count := func(step func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		before := s.failed
		step()
		failed += s.failed - before
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			count(func() { m.line(line) })
		}
		if err != nil {
			break
		}
	}
	err := wait()
	count(func() {
		for name, p := range m.running { // the stream broke off
			m.finish(event{Action: "fail", Package: name}, p)
		}
	})
	count(func() {
		if err != nil && failed == 0 && len(m.again) == 0 {
			s.failed++
			fmt.Fprintf(s.out, "FAIL %s: %v, and no test says why\n", name, err)
		}
		fmt.Fprintf(s.out, "     %s took %.0fs, compiling included\n", name, time.Since(began).Seconds())
	})
	return m.again
}

func (s *stream) line(line []byte) {
	var e event
	if !bytes.HasPrefix(line, []byte("{")) || json.Unmarshal(line, &e) != nil {
		s.out.Write(line) // the go command's own words, or a test binary that bypassed the testing package
		return
	}
	switch {
	case e.Action == "build-output":
		b := s.builds[e.ImportPath]
		if b == nil {
			b = new(strings.Builder)
			s.builds[e.ImportPath] = b
		}
		b.WriteString(e.Output)
	case e.Package == "":
	case e.Test != "":
		s.test(e)
	default:
		s.pkg(e)
	}
}

func (s *stream) at(name string) *pkg {
	p := s.running[name]
	if p == nil {
		p = &pkg{tests: map[string]*test{}}
		s.running[name] = p
	}
	return p
}

func (s *stream) test(e event) {
	p := s.at(e.Package)
	t := p.tests[e.Test]
	if t == nil {
		t = &test{name: e.Test}
		p.tests[e.Test] = t
		p.order = append(p.order, t)
	}
	switch e.Action {
	case "output":
		t.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		t.action = e.Action
		if e.Action == "pass" {
			t.output = strings.Builder{} // nobody will ask for it
		}
	}
}

func (s *stream) pkg(e event) {
	p := s.at(e.Package)
	switch e.Action {
	case "output":
		p.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		delete(s.running, e.Package)
		if e.Action == "fail" && !s.last && p.says(detectorFailed) {
			s.again = append(s.again, e.Package)
			fmt.Fprintf(s.out, "     %s is tested again: the race detector itself failed\n", e.Package)
			return
		}
		s.finish(e, p)
	}
}

// says reports whether the package or one of its tests printed a text.
func (p *pkg) says(text string) bool {
	return strings.Contains(p.output.String(), text) ||
		slices.ContainsFunc(p.order, func(t *test) bool { return strings.Contains(t.output.String(), text) })
}

// finish counts the tests of a package that has ended and prints its line.
func (s *stream) finish(e event, p *pkg) {
	passed, failed, skipped := s.passed, s.failed, s.skipped
	var loud []*test
	for _, t := range p.order {
		if t.action == "" { // a panic or a timeout took the binary down under it
			t.action = "fail"
		}
		if t.action == "fail" {
			loud = append(loud, t)
		}
		switch {
		case t.action == "skip":
			s.skip(e.Package, t)
		case t.action == "fail" && !p.hasChild(t, "fail", ""):
			s.failed++
		case t.action == "pass" && !p.hasChild(t, "pass", "fail", "skip", ""):
			s.passed++
		}
	}
	if e.Action == "fail" && s.failed == failed {
		s.failed++ // the build, TestMain, init, or an exit that no test owns
	}
	if line, fails := s.budget.excess(e.Package, e.Elapsed); line != "" {
		s.slow = append(s.slow, line)
		if fails {
			s.overdue++
		}
	}

	if e.Action == "fail" || s.failed > failed {
		fmt.Fprintf(s.out, "FAIL %s  %.2fs\n", e.Package, e.Elapsed)
		if b := s.builds[e.FailedBuild]; b != nil {
			io.WriteString(s.out, b.String())
		}
		for _, t := range loud {
			io.WriteString(s.out, t.output.String())
		}
		io.WriteString(s.out, p.output.String())
		return
	}
	if len(p.order) == 0 {
		s.empty = append(s.empty, e.Package)
		return
	}
	took := fmt.Sprintf("%.2fs", e.Elapsed)
	if strings.Contains(p.output.String(), "(cached)") {
		took = "cached"
	}
	fmt.Fprintf(s.out, "ok   %s  %s  %d passed", e.Package, took, s.passed-passed)
	if n := s.skipped - skipped; n > 0 {
		fmt.Fprintf(s.out, ", %d skipped", n)
	}
	fmt.Fprintln(s.out)
}

// hasChild reports whether a direct subtest of t ended with one of the actions.
func (p *pkg) hasChild(t *test, actions ...string) bool {
	return slices.ContainsFunc(p.order, func(c *test) bool {
		rest, ok := strings.CutPrefix(c.name, t.name+"/")
		return ok && rest != "" && slices.Contains(actions, c.action)
	})
}

// logLine is a line that t.Log, t.Skip and their kin wrote: the last one before a skip is its reason.
var logLine = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*)$`)

func (s *summary) skip(pkg string, t *test) {
	s.skipped++
	reason := "no reason given"
	if all := logLine.FindAllStringSubmatch(t.output.String(), -1); len(all) > 0 {
		reason = strings.TrimSpace(all[len(all)-1][1])
	}
	if strings.HasPrefix(reason, missingComponent) {
		s.missing++
	}
	s.skips = append(s.skips, fmt.Sprintf("%s %s: %s", pkg, t.name, reason))
}

// close prints the end of the account and reports whether the run was good.
func (s *summary) close() bool {
	if len(s.empty) > 0 {
		fmt.Fprintf(s.out, "no tests in %s\n", strings.Join(s.empty, ", "))
	}
	for _, line := range s.skips {
		fmt.Fprintln(s.out, "SKIP", line)
	}
	for _, line := range s.slow {
		fmt.Fprintln(s.out, line)
	}
	good := s.failed == 0 && s.overdue == 0
	if s.strict && s.missing > 0 {
		good = false
		fmt.Fprintf(s.out, "FAIL CI may not skip: %d skipped for want of a component\n", s.missing)
	}
	if s.passed+s.failed == 0 {
		good = false
		fmt.Fprintln(s.out, "FAIL no test ran")
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	return good
}
