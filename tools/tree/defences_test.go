package tree_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// defence is a row of the table: a mutation that takes one defence out, and the test that must notice.
type defence struct {
	name     string
	file     string // relative to the root of the tree
	old, new string
	pkg      string // directory of the test, "./apikey"; it may lie in a nested module
	run      string // for -run; one pattern per level of subtest
	env      []string
}

// What can be wrong with a row.
var (
	errStale    = errors.New("the row is stale")
	errBaseline = errors.New("the test does not pass with the defence in place")
	errUncaught = errors.New("nothing noticed that the defence is gone")
	errBroken   = errors.New("the mutation does not build, so it proves nothing")
)

// errMissing is a test that could not run here; its text is the reason.
type errMissing string

func (e errMissing) Error() string { return string(e) }

// TestDefences holds "every defence has a test that fails when the defence is taken out". It always checks that
// the table still fits the tree; LATCHKEY_DEFENCES=1 also takes each defence out and runs its test, for minutes.
func TestDefences(t *testing.T) {
	names := map[string]bool{}
	for _, d := range defences {
		if names[d.name] {
			t.Errorf("two rows are named %q", d.name)
		}
		names[d.name] = true
		if _, err := d.fits("."); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
	}
	if os.Getenv("LATCHKEY_DEFENCES") != "1" || t.Failed() {
		return
	}

	only := regexp.MustCompile(os.Getenv("LATCHKEY_DEFENCES_RUN"))
	p, tried := newProver(t, "."), 0
	for _, d := range defences {
		if !only.MatchString(d.name) {
			continue
		}
		tried++
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			err := p.try(t, d)
			if missing, ok := errors.AsType[errMissing](err); ok {
				t.Skip(missing)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	if tried == 0 && len(defences) > 0 {
		t.Errorf("LATCHKEY_DEFENCES_RUN=%s matches no row", only)
	}
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)

// fits checks the row against the tree below root and returns the source of the mutated file.
func (d defence) fits(root string) (string, error) {
	src, err := os.ReadFile(filepath.Join(root, d.file))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errStale, err)
	}
	if n := strings.Count(string(src), d.old); n != 1 || d.old == d.new {
		return "", fmt.Errorf("%w: %s holds its old snippet %d times, want exactly once and unlike the new one; "+
			"if the code moved, move the row with it:\n%s", errStale, d.file, n, d.old)
	}
	top, _, _ := strings.Cut(d.run, "/")
	pattern, err := regexp.Compile(top)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errStale, err)
	}
	files, err := filepath.Glob(filepath.Join(root, d.pkg, "*_test.go"))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errStale, err)
	}
	for _, file := range files {
		tests, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		for _, m := range testFunc.FindAllSubmatch(tests, -1) {
			if pattern.Match(m[1]) {
				return strings.Replace(string(src), d.old, d.new, 1), nil
			}
		}
	}
	return "", fmt.Errorf("%w: no test in %s matches %s", errStale, d.pkg, top)
}

// prover tries rows against one tree, and each test on the sound code only once.
type prover struct {
	root string

	mu        sync.Mutex
	baselines map[string]func() error
}

func newProver(t *testing.T, root string) *prover {
	t.Helper()
	root, err := filepath.Abs(root) // an overlay wants absolute paths
	if err != nil {
		t.Fatal(err)
	}
	return &prover{root: root, baselines: map[string]func() error{}}
}

// try returns nil when the row's test passes on the sound code and fails on the mutated one.
func (p *prover) try(t *testing.T, d defence) error {
	mutated, err := d.fits(p.root)
	if err != nil {
		return err
	}
	if err := p.baseline(t, d); err != nil {
		return err
	}

	dir := t.TempDir()
	copied := filepath.Join(dir, filepath.Base(d.file))
	overlay, err := json.Marshal(map[string]any{
		"Replace": map[string]string{filepath.Join(p.root, d.file): copied},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(copied, []byte(mutated), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		return err
	}
	out, err := p.test(t, d, "-overlay", filepath.Join(dir, "overlay.json"))
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s in %s still passes", errUncaught, d.run, d.pkg)
	case !notBuilt.MatchString(out) && testFailed.MatchString(out):
		return nil
	default:
		return fmt.Errorf("%w: %w\n%s", errBroken, err, out)
	}
}

var (
	notBuilt   = regexp.MustCompile(`(?m)^FAIL\s+\S+ \[(build|setup) failed\]$`)
	testFailed = regexp.MustCompile(`(?m)^(\s*--- FAIL: |panic: |fatal error: )`)
	testPassed = regexp.MustCompile(`(?m)^\s*--- PASS: (\S+)`)
	missing    = regexp.MustCompile(`missing component: .*`)
)

// baseline runs the row's test on the sound code. The test must pass at the depth the row names: a pattern that
// matches no subtest would pass, too, and would pass for ever.
func (p *prover) baseline(t *testing.T, d defence) error {
	key := strings.Join(append([]string{d.pkg, d.run}, d.env...), "\x00")
	p.mu.Lock()
	run, ok := p.baselines[key]
	if !ok {
		run = sync.OnceValue(func() error {
			out, err := p.test(t, d)
			if err != nil {
				return fmt.Errorf("%w: %w\n%s", errBaseline, err, out)
			}
			for _, m := range testPassed.FindAllStringSubmatch(out, -1) {
				if strings.Count(m[1], "/") >= strings.Count(d.run, "/") {
					return nil
				}
			}
			if reason := missing.FindString(out); reason != "" {
				return errMissing(reason)
			}
			return fmt.Errorf("%w: %s ran nothing in %s\n%s", errBaseline, d.run, d.pkg, out)
		})
		p.baselines[key] = run
	}
	p.mu.Unlock()
	return run()
}

// test runs the row's test in the module that owns its package.
func (p *prover) test(t *testing.T, d defence, flags ...string) (string, error) {
	pkg := filepath.Join(p.root, d.pkg)
	mod := pkg
	for mod != p.root {
		if _, err := os.Stat(filepath.Join(mod, "go.mod")); err == nil {
			break
		}
		mod = filepath.Dir(mod)
	}
	rel, err := filepath.Rel(mod, pkg)
	if err != nil {
		return "", err
	}
	// Without vet: a mutation is allowed to be ugly.
	args := append([]string{"test", "-v", "-vet=off", "-count=1", "-timeout=120s", "-run=" + d.run}, flags...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./"+filepath.ToSlash(rel))...)
	cmd.Dir = mod
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LATCHKEY_DEFENCES") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(append(cmd.Env, "GOWORK=off"), d.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
