package tree_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestDefencesMechanism tries the prover on a module with one good test, one test that guards nothing, and the
// ways in which a row can be wrong.
func TestDefencesMechanism(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/door\n\ngo 1.26\n",
		"lock/lock.go": `package lock

func Open(secret string) bool {
	if secret == "" {
		return false
	}
	return len(secret) > 3
}
`,
		"lock/lock_test.go": `package lock

import "testing"

func TestOpen(t *testing.T) {
	t.Run("short", func(t *testing.T) {
		if Open("abc") {
			t.Error("a short secret opened the door")
		}
	})
}

func TestNothing(t *testing.T) { Open("") }

func TestWrong(t *testing.T) { t.Error("always") }

func TestAbsent(t *testing.T) { t.Skip("missing component: door: buy one") }
`,
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	const guard = `len(secret) > 3`
	p := newProver(t, root)
	for _, tc := range []struct {
		rule          string
		old, new, run string
		want          error
	}{
		{"a mutation that a test notices is caught", guard, `true`, "^TestOpen$/^short$", nil},
		{"a panic is caught, too", guard, `secret[9] > 3`, "^TestOpen$", nil},
		{"a mutation that no test notices is reported", guard, `true`, "^TestNothing$", errUncaught},
		{"a mutation that does not build is reported", guard, `secret > 3`, "^TestOpen$", errBroken},
		{"a snippet that is gone makes the row stale", `secret == nil`, `true`, "^TestOpen$", errStale},
		{"a snippet found twice makes the row stale", `secret`, `other`, "^TestOpen$", errStale},
		{"a test that is gone makes the row stale", guard, `true`, "^TestShut$", errStale},
		{"a subtest that is gone is reported", guard, `true`, "^TestOpen$/^long$", errBaseline},
		{"a test that fails anyway is reported", guard, `true`, "^TestWrong$", errBaseline},
		{"a test that cannot run here says why", guard, `true`, "^TestAbsent$", errMissing("missing component: door: buy one")},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			d := defence{file: "lock/lock.go", old: tc.old, new: tc.new, pkg: "./lock", run: tc.run}
			if err := p.try(t, d); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}
