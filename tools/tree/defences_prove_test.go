package tree_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// prover tries rows against one tree. The builds are what takes long, so the tests of a package are built once with
// the mutants of all their rows inside (see inject), and each run chooses one. What that cannot prove is tried
// again in a build of its own.
type prover struct {
	tree *tree
	dir  string               // for what is built
	rows map[string][]defence // all that will be tried, by the package of the test

	mu        sync.Mutex
	suites    map[string]func() suite
	baselines map[string]func() baseline
}

// baseline is how a test ended on the sound code, and how long that took.
type baseline struct {
	err  error
	took time.Duration
}

// suite is the built tests of a package, with the mutants inside by the names of their rows.
type suite struct {
	bin     string
	mutants map[string]int
	err     error
}

func newProver(root, dir string, rows ...defence) *prover {
	p := &prover{
		tree: newTree(root), dir: dir, rows: map[string][]defence{},
		suites: map[string]func() suite{}, baselines: map[string]func() baseline{},
	}
	for _, d := range rows {
		p.rows[d.pkg] = append(p.rows[d.pkg], d)
	}
	return p
}

// try returns nil when the row's test passes on the sound code and fails on the mutated one.
func (p *prover) try(ctx context.Context, d defence) error {
	e, err := p.tree.fit(d)
	if err != nil {
		return err
	}
	all := once(p, p.suites, "all "+d.pkg, func() suite { return p.shared(ctx, d.pkg) })
	if id := all.mutants[d.name]; all.err == nil && id > 0 && p.judge(ctx, d, all.bin, all.bin, id) == nil {
		return nil
	}
	sound := once(p, p.suites, "sound "+d.pkg, func() suite { return p.build(ctx, d.pkg, nil) })
	if sound.err != nil {
		return fmt.Errorf("%w: %w", errBaseline, sound.err)
	}
	alone := p.build(ctx, d.pkg, map[string]string{e.path: e.mutated()})
	if alone.err != nil {
		return fmt.Errorf("%w: %w", errBroken, alone.err)
	}
	defer func() { _ = os.Remove(alone.bin) }()
	return p.judge(ctx, d, sound.bin, alone.bin, 0)
}

// once returns what f returned when it was first called for the key.
func once[V any](p *prover, m map[string]func() V, key string, f func() V) V {
	p.mu.Lock()
	if m[key] == nil {
		m[key] = sync.OnceValue(f)
	}
	f = m[key]
	p.mu.Unlock()
	return f()
}

var brokenMutant = regexp.MustCompile(`mutant(\d+)\.go:\d+`)

// shared builds the tests of a package with every mutant inside that compiles.
func (p *prover) shared(ctx context.Context, pkg string) suite {
	edits := map[int]edit{}
	mutants := map[string]int{}
	for i, d := range p.rows[pkg] {
		if e, err := p.tree.fit(d); err == nil && e.injectable() {
			edits[i+1], mutants[d.name] = e, i+1
		}
	}
	for len(edits) > 0 {
		s := p.build(ctx, pkg, inject(edits))
		s.mutants = mutants
		if s.err == nil {
			return s
		}
		left := len(edits)
		for _, m := range brokenMutant.FindAllStringSubmatch(s.err.Error(), -1) {
			id, _ := strconv.Atoi(m[1])
			delete(edits, id)
			maps.DeleteFunc(mutants, func(_ string, n int) bool { return n == id })
		}
		if len(edits) == left {
			return s
		}
	}
	return suite{}
}

// build builds the tests of a package with other files in place of those of the tree.
func (p *prover) build(ctx context.Context, pkg string, files map[string]string) suite {
	dir, err := os.MkdirTemp(p.dir, "")
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range files {
		overlay.Replace[path] = filepath.Join(dir, fmt.Sprint(len(overlay.Replace)))
		err = errors.Join(err, os.WriteFile(overlay.Replace[path], []byte(text), 0o600))
	}
	text, _ := json.Marshal(overlay)
	if err = errors.Join(err, os.WriteFile(filepath.Join(dir, "overlay.json"), text, 0o600)); err != nil {
		return suite{err: err}
	}
	s := suite{bin: filepath.Join(dir, "tests")}
	// Without vet: a mutation is allowed to be ugly.
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", s.bin, ".")
	cmd.Dir, cmd.Env = filepath.Join(p.tree.root, pkg), append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.err = fmt.Errorf("%w\n%s", err, out)
	}
	return s
}

var (
	testFailed = regexp.MustCompile(`(?m)^(\s*--- FAIL: |panic: |fatal error: )`)
	testPassed = regexp.MustCompile(`(?m)^\s*--- PASS: (\S+)`)
	missing    = regexp.MustCompile(`missing component: .*`)
)

// judge runs the row's test in a sound build, once for all rows, and with the mutant.
func (p *prover) judge(ctx context.Context, d defence, sound, mutated string, mutant int) error {
	base := once(p, p.baselines, sound+" "+d.run, func() baseline {
		began := time.Now()
		err := p.baseline(ctx, d, sound)
		return baseline{err, time.Since(began)}
	})
	if base.err != nil {
		return base.err
	}
	out, err := p.run(ctx, d, mutated, mutant, min(longest, hangs+10*base.took))
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s in %s still passes", errUncaught, d.run, d.pkg)
	case testFailed.MatchString(out):
		return nil
	default:
		return fmt.Errorf("%w: %w\n%s", errBroken, err, out)
	}
}

// baseline runs the row's test on the sound code. The test must pass at the depth the row names: a pattern that
// matches no subtest would pass, too, and would pass for ever.
func (p *prover) baseline(ctx context.Context, d defence, bin string) error {
	out, err := p.run(ctx, d, bin, 0, longest)
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
}

const (
	longest = 2 * time.Minute // that a test may take
	// hangs, and ten times what the test takes on the sound code, is how long it may take without the defence: then it
	// waits for something that does not come, and has noticed.
	hangs = 15 * time.Second
)

func (p *prover) run(ctx context.Context, d defence, bin string, mutant int, limit time.Duration) (string, error) {
	cmd := exec.CommandContext(ctx, bin, "-test.v", "-test.paniconexit0", "-test.timeout="+limit.String(), "-test.run="+d.run)
	cmd.Dir = filepath.Join(p.tree.root, d.pkg)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LATCHKEY_DEFENCES") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "GOWORK=off", fmt.Sprintf("%s=%d", mutantVariable, mutant))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
