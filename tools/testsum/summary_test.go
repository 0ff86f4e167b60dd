package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// stdout writes events in a short form: "ACTION PACKAGE [TEST] [| OUTPUT]".
func stdout(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		head, output, _ := strings.Cut(line, " | ")
		f := append(strings.Fields(head), "", "")
		b.WriteString(`{"Action":"` + f[0] + `","Package":"` + f[1] + `","Test":"` + f[2] + `","Output":"` + output + `"}` + "\n")
	}
	return b.String()
}

// took is the event of a package that passed in some seconds.
func took(pkg string, seconds float64) string {
	return fmt.Sprintf(`{"Action":"pass","Package":%q,"Elapsed":%g}`+"\n", pkg, seconds)
}

func TestSummary(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		in     string
		exit   error // of the command
		strict bool
		good   bool
		want   []string // in this order; the last is the closing line
		never  string
	}{
		{
			rule: "passing output is not repeated",
			in: stdout("start p", "run p TestA", `output p TestA | noise\n`, "pass p TestA",
				"pass p", "start q", "skip q"),
			good:  true,
			want:  []string{"ok   p", "1 passed", "no tests in q\n", "1 passed, 0 failed, 0 skipped\n"},
			never: "noise",
		},
		{
			rule: "one failing subtest is one failure, printed in full",
			in: stdout("run p TestA", "run p TestA/x", "run p TestA/y", `output p TestA/x | why\n`,
				"fail p TestA/x", "pass p TestA/y", `output p TestA | --- FAIL: TestA\n`, "fail p TestA", "fail p"),
			want: []string{"FAIL p", "--- FAIL: TestA\n", "why\n", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "a parent that fails by itself counts",
			in:   stdout("run p TestA", "run p TestA/x", "pass p TestA/x", "fail p TestA", "fail p"),
			want: []string{"1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "a test that never ended has failed",
			in:   stdout("pass p TestB", "run p TestA", "run p TestA/x", `output p TestA/x | panic: ouch\n`, "fail p"),
			want: []string{"panic: ouch\n", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "a package that fails without a failing test counts once",
			in:   stdout("pass p TestA", `output p | exit status 3\n`, "fail p"),
			want: []string{"FAIL p", "exit status 3\n", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "a build failure shows the compiler's words",
			in: `{"ImportPath":"p [p.test]","Action":"build-output","Output":"p.go:1: bad\n"}` + "\n" +
				`{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}` + "\n",
			want: []string{"FAIL p", "p.go:1: bad\n", "0 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "a stream that breaks off is a failure",
			in:   stdout("start q", "pass p TestA", "pass p", "start q"),
			want: []string{"FAIL q", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "a skip is listed with its reason",
			in: stdout("run p TestA", `output p TestA |     a_test.go:3: about to\n`,
				`output p TestA |     a_test.go:4: too slow here\n`, `output p TestA | --- SKIP: TestA\n`, "skip p TestA",
				"pass p TestB", "pass p"),
			strict: true,
			good:   true,
			want:   []string{"1 skipped", "SKIP p TestA: too slow here\n", "1 passed, 0 failed, 1 skipped\n"},
		},
		{
			rule: "a missing component is forgiven outside CI",
			in: stdout(`output p TestA |     a_test.go:4: missing component: pg: install it\n`, "skip p TestA",
				"pass p TestB", "pass p"),
			good: true,
			want: []string{"SKIP p TestA: missing component: pg: install it\n", "1 passed, 0 failed, 1 skipped\n"},
		},
		{
			rule: "a missing component fails CI",
			in: stdout(`output p TestA |     a_test.go:4: missing component: pg: install it\n`, "skip p TestA",
				"pass p TestB", "pass p"),
			strict: true,
			want:   []string{"SKIP p TestA", "FAIL CI may not skip: 1", "1 passed, 0 failed, 1 skipped\n"},
		},
		{
			rule: "nothing run is a failure",
			in:   stdout("start p", "skip p"),
			want: []string{"FAIL no test ran\n", "0 passed, 0 failed, 0 skipped\n"},
		},
		{
			rule: "a go command that dies without a result is a failure",
			in:   stdout("pass p TestA", "pass p") + "go: cannot find module\n",
			exit: errors.New("exit status 1"),
			want: []string{"go: cannot find module\n", "FAIL ./sub: exit status 1", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "an exit that a failed test explains is not counted again",
			in:   stdout("fail p TestA", "fail p"),
			exit: errors.New("exit status 1"),
			want: []string{"0 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule:  "a package within its budget is not mentioned",
			in:    stdout("pass p TestA") + took("p", 2),
			good:  true,
			want:  []string{"ok   p  2.00s  1 passed\n", "1 passed, 0 failed, 0 skipped\n"},
			never: "budget",
		},
		{
			rule: "a package over its budget is reported",
			in:   stdout("pass p TestA") + took("p", 6) + stdout("pass q TestA") + took("q", 1),
			good: true,
			want: []string{"ok   p  6.00s", "ok   q  1.00s", "SLOW p: 6.0s, budget 2s\n", "2 passed, 0 failed, 0 skipped\n"},
		},
		{
			rule: "a package far over its budget fails",
			in:   stdout("pass p TestA") + took("p", 6.1) + stdout("pass q TestA") + took("q", 1),
			want: []string{"ok   p  6.10s", "ok   q", "FAIL p: 6.1s, more than 3 times its budget of 2s\n", "2 passed, 0 failed, 0 skipped\n"},
		},
		{
			rule: "a package without a line has the default",
			in:   stdout("pass q TestA") + took("q", 1.5),
			good: true,
			want: []string{"SLOW q: 1.5s, budget 1s\n", "1 passed, 0 failed, 0 skipped\n"},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			s := &summary{out: &out, strict: tc.strict, budget: budget{usual: 1, of: map[string]float64{"p": 2}}}
			s.module("./sub", true, strings.NewReader(tc.in), func() error { return tc.exit })
			if good := s.close(); good != tc.good {
				t.Errorf("good = %t, want %t", good, tc.good)
			}
			rest := out.String()
			for _, want := range tc.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("no %q, or not in order, in:\n%s", want, out.String())
				}
				rest = after
			}
			if rest != "" {
				t.Errorf("the closing line is followed by %q", rest)
			}
			if tc.never != "" && strings.Contains(out.String(), tc.never) {
				t.Errorf("%q in:\n%s", tc.never, out.String())
			}
		})
	}
}

// TestStreamsSideBySide: packages of two modules are told apart line by line, and so are the ends of their commands.
func TestStreamsSideBySide(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &summary{out: &out}
	first, second := make(chan string), make(chan string)
	var both sync.WaitGroup
	both.Go(func() { s.module("./first", true, lines(first), func() error { return errors.New("exit status 1") }) })
	both.Go(func() { s.module("./second", true, lines(second), func() error { return errors.New("exit status 2") }) })
	first <- stdout("run p TestA", "output p TestA | of the first")
	second <- stdout("run p TestA", "output p TestA | of the second", "fail p TestA", "fail p")
	close(second)
	first <- stdout("pass p TestA", "pass p")
	close(first)
	both.Wait()
	if s.close() || s.passed != 1 || s.failed != 2 || !strings.Contains(out.String(), "FAIL ./first") ||
		strings.Contains(out.String(), "FAIL ./second") || strings.Contains(out.String(), "of the first") {
		t.Error(out.String())
	}
}

// lines reads what comes from a channel.
type lines chan string

func (l lines) Read(p []byte) (int, error) {
	text, ok := <-l
	if !ok {
		return 0, io.EOF
	}
	return copy(p, text), nil
}

// A race detector that fails says nothing about the package: it is tested once more.
func TestAPackageIsTestedAgainIfTheRaceDetectorFails(t *testing.T) {
	broken := stdout("run p TestA", `output p TestA | ThreadSanitizer: CHECK failed: x.cpp:1\n`, "fail p", "run q TestB", "pass q TestB", "pass q")
	failed := func() error { return errors.New("exit status 1") }
	var out strings.Builder
	s := &summary{out: &out}
	if again := s.module(".", false, strings.NewReader(broken), failed); len(again) != 1 || again[0] != "p" {
		t.Errorf("to be tested again: %q, want p", again)
	}
	good := stdout("run p TestA", "pass p TestA", "pass p")
	if again := s.module(".", true, strings.NewReader(good), func() error { return nil }); len(again) > 0 || !s.close() {
		t.Errorf("after it passed: again %q\n%s", again, &out)
	}
	out.Reset()
	s = &summary{out: &out}
	if again := s.module(".", true, strings.NewReader(broken), failed); len(again) > 0 || s.close() {
		t.Errorf("the second time it is a failure: again %q\n%s", again, &out)
	}
}
