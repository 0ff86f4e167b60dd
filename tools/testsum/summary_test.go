package main

import (
	"strings"
	"testing"
)

// stream writes events in a short form: "ACTION PACKAGE [TEST] [| OUTPUT]".
func stream(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		head, output, _ := strings.Cut(line, " | ")
		f := append(strings.Fields(head), "", "")
		b.WriteString(`{"Action":"` + f[0] + `","Package":"` + f[1] + `","Test":"` + f[2] + `","Output":"` + output + `"}` + "\n")
	}
	return b.String()
}

func TestSummary(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		in     string
		strict bool
		good   bool
		want   []string // in this order; the last is the closing line
		never  string
	}{
		{
			rule: "passing output is not repeated",
			in: stream("start p", "run p TestA", `output p TestA | noise\n`, "pass p TestA",
				"pass p", "start q", "skip q"),
			good:  true,
			want:  []string{"ok   p", "1 passed", "no tests in q\n", "1 passed, 0 failed, 0 skipped\n"},
			never: "noise",
		},
		{
			rule: "one failing subtest is one failure, printed in full",
			in: stream("run p TestA", "run p TestA/x", "run p TestA/y", `output p TestA/x | why\n`,
				"fail p TestA/x", "pass p TestA/y", `output p TestA | --- FAIL: TestA\n`, "fail p TestA", "fail p"),
			want: []string{"FAIL p", "--- FAIL: TestA\n", "why\n", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "a parent that fails by itself counts",
			in:   stream("run p TestA", "run p TestA/x", "pass p TestA/x", "fail p TestA", "fail p"),
			want: []string{"1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "a test that never ended has failed",
			in:   stream("pass p TestB", "run p TestA", "run p TestA/x", `output p TestA/x | panic: ouch\n`, "fail p"),
			want: []string{"panic: ouch\n", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "a package that fails without a failing test counts once",
			in:   stream("pass p TestA", `output p | exit status 3\n`, "fail p"),
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
			in:   stream("start q", "pass p TestA", "pass p", "start q"),
			want: []string{"FAIL q", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "a skip is listed with its reason",
			in: stream("run p TestA", `output p TestA |     a_test.go:3: about to\n`,
				`output p TestA |     a_test.go:4: too slow here\n`, `output p TestA | --- SKIP: TestA\n`, "skip p TestA",
				"pass p TestB", "pass p"),
			strict: true,
			good:   true,
			want:   []string{"1 skipped", "SKIP p TestA: too slow here\n", "1 passed, 0 failed, 1 skipped\n"},
		},
		{
			rule: "a missing component is forgiven outside CI",
			in: stream(`output p TestA |     a_test.go:4: missing component: pg: install it\n`, "skip p TestA",
				"pass p TestB", "pass p"),
			good: true,
			want: []string{"SKIP p TestA: missing component: pg: install it\n", "1 passed, 0 failed, 1 skipped\n"},
		},
		{
			rule: "a missing component fails CI",
			in: stream(`output p TestA |     a_test.go:4: missing component: pg: install it\n`, "skip p TestA",
				"pass p TestB", "pass p"),
			strict: true,
			want:   []string{"SKIP p TestA", "FAIL CI may not skip: 1", "1 passed, 0 failed, 1 skipped\n"},
		},
		{
			rule: "nothing run is a failure",
			in:   stream("start p", "skip p"),
			want: []string{"FAIL no test ran\n", "0 passed, 0 failed, 0 skipped\n"},
		},
		{
			rule: "a go command that dies without a result is a failure",
			in: stream("pass p TestA", "pass p") + `{"Action":"exit","Package":".","Code":0}` + "\n" +
				"go: cannot find module\n" + `{"Action":"exit","Package":"./sub","Code":1}` + "\n",
			want: []string{"go: cannot find module\n", "FAIL ./sub", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			rule: "an exit that a failed test explains is not counted again",
			in:   stream("fail p TestA", "fail p") + `{"Action":"exit","Package":".","Code":1}` + "\n",
			want: []string{"0 passed, 1 failed, 0 skipped\n"},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			s := newSummary(&out, tc.strict)
			if err := s.read(strings.NewReader(tc.in)); err != nil {
				t.Fatal(err)
			}
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
