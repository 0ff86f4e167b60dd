package tree_test

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// defence is a row of the table (see defences/README.md): a mutation that takes one defence out, and the test that
// must notice.
type defence struct {
	name  string // "storage/badgerstore: a change is synced"
	dir   string // of the code, from the root of the tree
	where string // the declaration that holds the defence, or a glob of files that are not Go
	op    string // "drop", "true", "false", "not" or "->"
	old   string // what the mutation works on
	new   string // what "->" puts there
	pkg   string // directory of the test; it may lie in a nested module
	run   string // for -run; one pattern per level of subtest
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
	rows, err := readDefences("tools/tree/defences")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(".") // an overlay wants absolute paths
	if err != nil {
		t.Fatal(err)
	}
	only := regexp.MustCompile(os.Getenv("LATCHKEY_DEFENCES_RUN"))
	fits := newTree(root)
	var chosen []defence
	for _, d := range rows {
		if _, err := fits.fit(d); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		if only.MatchString(d.name) {
			chosen = append(chosen, d)
		}
	}
	if os.Getenv("LATCHKEY_DEFENCES") != "1" || t.Failed() {
		return
	}
	if len(chosen) == 0 {
		t.Errorf("LATCHKEY_DEFENCES_RUN=%s matches no row", only)
	}

	p := newProver(root, t.TempDir(), chosen...)
	for _, d := range chosen {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			err := p.try(t.Context(), d)
			if missing, ok := errors.AsType[errMissing](err); ok {
				t.Skip(missing)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// readDefences reads every table below dir. A table's path is that of the package whose defences it lists; latchkey.txt has those
// of the root.
func readDefences(dir string) ([]defence, error) {
	var rows []defence
	names := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".txt" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(dir, strings.TrimSuffix(path, ".txt"))
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if pkg == "latchkey" {
				pkg = "."
			}
			d, err := parseDefence(filepath.ToSlash(pkg), line)
			if err == nil && names[d.name] {
				err = errors.New("an earlier row has this name")
			}
			if err != nil {
				return fmt.Errorf("%s:%d: %w:\n%s", path, i+1, err, line)
			}
			names[d.name] = true
			rows = append(rows, d)
		}
		return nil
	})
	return rows, err
}

// parseDefence reads "rule | declaration | mutation | test" of the package in dir.
func parseDefence(dir, line string) (defence, error) {
	rule, rest, _ := strings.Cut(line, " | ")
	where, rest, ok := strings.Cut(rest, " | ")
	end := strings.LastIndex(rest, " | ")
	if !ok || end < 0 {
		return defence{}, errors.New("want: rule | declaration | mutation | test")
	}
	d := defence{name: cmp.Or(strings.TrimPrefix(dir, "."), "latchkey") + ": " + rule, dir: dir, where: where, op: "->", pkg: dir}
	mutation, test := strings.TrimSpace(rest[:end]), strings.TrimSpace(rest[end+3:])
	if d.old, d.new, ok = strings.Cut(mutation+" ", " -> "); !ok {
		d.op, d.old, _ = strings.Cut(mutation, " ")
		switch d.op {
		case "drop", "true", "false", "not":
		default:
			return d, errors.New("a mutation is: drop CODE, true CODE, false CODE, not CODE, or CODE -> CODE")
		}
	}
	d.old, d.new = strings.TrimSpace(d.old), strings.TrimSpace(d.new)
	if rest, ok := strings.CutPrefix(test, "./"); ok {
		d.pkg, test, _ = strings.Cut(rest, " ")
		d.pkg = path.Clean(d.pkg) // "" is the root
	}
	// A top-level test by its whole name, a subtest by the words that its name begins with.
	top, subs, nested := strings.Cut(test, "/")
	d.run = "^(" + top + ")$"
	if nested {
		d.run += "/^" + strings.ReplaceAll(strings.ReplaceAll(subs, " ", "_"), "/", "/^")
	}
	return d, nil
}
