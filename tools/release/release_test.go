package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const version = "v0.1.0"

// released returns a repository with the files of this tree in one commit, ready
// to be released.
func released(t *testing.T) tree {
	t.Helper()
	top := filepath.Join("..", "..")
	here := tree{ctx: t.Context(), dir: top}
	if _, err := os.Stat(filepath.Join(top, ".git")); err != nil {
		t.Skip("the tree is not a repository")
	}
	repo := tree{ctx: t.Context(), dir: t.TempDir()}
	for name := range strings.SplitSeq(git(t, here, "ls-files", "--cached", "--others", "--exclude-standard"), "\n") {
		raw, err := os.ReadFile(filepath.Join(top, name))
		if os.IsNotExist(err) { // removed, and not committed yet
			continue
		}
		must(t, err)
		write(t, filepath.Join(repo.dir, name), string(raw))
	}
	changes, err := os.ReadFile(filepath.Join(top, "CHANGELOG.md"))
	must(t, err)
	write(t, filepath.Join(repo.dir, "CHANGELOG.md"), strings.Replace(string(changes), "## [Unreleased]\n", "## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n", 1))
	git(t, repo, "init", "--quiet", "--initial-branch=main")
	git(t, repo, "config", "user.name", "ann")
	git(t, repo, "config", "user.email", "ann@example.com")
	git(t, repo, "config", "commit.gpgsign", "false")
	commit(t, repo)
	return repo
}

func commit(t *testing.T, repo tree) {
	t.Helper()
	git(t, repo, "add", "--all")
	git(t, repo, "commit", "--quiet", "--allow-empty", "--message=A commit")
}

// A stranger gets the root and nested modules by their version, builds a program
// of them, and installs a command of a nested module.
func TestAReleaseCanBeUsedByVersion(t *testing.T) {
	repo := released(t)
	must(t, run(t.Context(), repo.dir, version, true, io.Discard))
	r := &release{version: version}
	var err error
	r.modules, err = repo.modules()
	must(t, err)
	user := stranger(t, serve(t, repo, r), ".", "middleware/latchecho", "storage/pgstore")

	write(t, filepath.Join(user.dir, "main.go"), `package main

import (
	"fmt"

	"github.com/labstack/echo/v5"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchecho"
	"github.com/wontopos/latchkey/storage/memstore"
	"github.com/wontopos/latchkey/storage/pgstore"
)

func main() {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		panic(err)
	}
	guard, err := middleware.New(keys, middleware.Options{})
	if err != nil {
		panic(err)
	}
	echo.New().GET("/", func(*echo.Context) error { return nil }, latchecho.Require(guard, middleware.AnyKey()))
	fmt.Println("guarded", new(pgstore.Options).Schema)
}
`)
	tool(t, user, "mod", "init", "example.com/user")
	tool(t, user, "get", root+"@"+version, root+"/middleware/latchecho@"+version, root+"/storage/pgstore@"+version)
	tool(t, user, "get", ".")
	for _, m := range []string{root, root + "/middleware/latchecho", root + "/storage/pgstore"} {
		if got := tool(t, user, "list", "-m", m); got != m+" "+version {
			t.Errorf("the program is built with %s", got)
		}
	}
	command := root + "/storage/pgstore/cmd/badger2pg@" + version
	if os.Getenv("LATCHKEY_LONG") == "" { // everything but compiling
		tool(t, user, "list", "-deps", ".")
		tool(t, user, "install", "-n", command)
		return
	}
	if got := tool(t, user, "run", "."); got != "guarded " {
		t.Errorf("the program says %q", got)
	}
	tool(t, user, "install", command)
	if _, err := os.Stat(filepath.Join(user.dir, "bin", "badger2pg")); err != nil {
		t.Error(err)
	}
}

// What is published has no replace, and what main continues from builds from
// itself; nothing but the branch and the tags is made.
func TestAReleaseIsABranchAndTags(t *testing.T) {
	repo := released(t)
	before := git(t, repo, "rev-parse", "HEAD")
	must(t, run(t.Context(), repo.dir, version, false, io.Discard))
	if refs := git(t, repo, "for-each-ref", "--format=%(refname)"); refs != "refs/heads/main" {
		t.Fatalf("a dry run makes %s", refs)
	}
	must(t, run(t.Context(), repo.dir, version, true, io.Discard))

	want := []string{"refs/heads/main", "refs/heads/release-v0.1.0"}
	modules, err := repo.modules()
	must(t, err)
	for _, m := range modules {
		if m.published() {
			want = append(want, "refs/tags/"+m.tag(version))
		}
	}
	slices.Sort(want)
	if refs := strings.Split(git(t, repo, "for-each-ref", "--format=%(refname)"), "\n"); !slices.Equal(refs, want) {
		t.Errorf("a release makes\n%s\nand not\n%s", refs, want)
	}
	for _, tag := range []string{"refs/tags/v0.1.0", "refs/tags/storage/pgstore/v0.1.0", "refs/tags/middleware/latchecho/v0.1.0"} {
		if !slices.Contains(want, tag) {
			t.Errorf("there is no %s", tag)
		}
	}
	if slices.ContainsFunc(want, func(ref string) bool { return strings.Contains(ref, "bench") || strings.Contains(ref, "examples") }) {
		t.Error("what nobody depends on has a tag")
	}
	if now := git(t, repo, "rev-parse", "main"); now != before || git(t, repo, "status", "--porcelain") != "" {
		t.Error("a release moves main, or changes files")
	}
	for _, m := range modules {
		old, tagged, next := m.text, git(t, repo, "show", "v0.1.0:"+m.file()), git(t, repo, "show", "release-v0.1.0:"+m.file())
		if m.published() && strings.Contains(tagged, "replace") {
			t.Errorf("%s is published with a replace:\n%s", m.file(), tagged)
		}
		if back := strings.ReplaceAll(next, version, "v0.0.0"); back != old {
			t.Errorf("%s after the release is\n%s\nand not, but for versions,\n%s", m.file(), next, old)
		}
		if strings.Contains(tagged+next, "v0.0.0\n") {
			t.Errorf("%s requires v0.0.0 of another module", m.file())
		}
	}
	if parent := git(t, repo, "rev-parse", "release-v0.1.0~2"); parent != before {
		t.Errorf("the branch begins at %s", parent)
	}

	// The next release starts from the branch.
	git(t, repo, "checkout", "--quiet", "release-v0.1.0")
	changes, err := os.ReadFile(filepath.Join(repo.dir, "CHANGELOG.md"))
	must(t, err)
	write(t, filepath.Join(repo.dir, "CHANGELOG.md"), strings.Replace(string(changes), "## [0.1.0]", "## [0.1.1] - 2026-01-02\n\n- More.\n\n## [0.1.0]", 1))
	commit(t, repo)
	must(t, run(t.Context(), repo.dir, "v0.1.1", true, io.Discard))
}

func TestWhatCannotBeReleased(t *testing.T) {
	repo := released(t)
	good := git(t, repo, "rev-parse", "HEAD")
	file := func(name, old, now string) func(t *testing.T) {
		return func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join(repo.dir, name))
			must(t, err)
			text := strings.Replace(string(raw), old, now, 1)
			if text == string(raw) {
				t.Fatalf("%s has no %q", name, old)
			}
			write(t, filepath.Join(repo.dir, name), text)
			commit(t, repo)
		}
	}
	for _, c := range []struct {
		name, version, says string
		harm                func(t *testing.T)
	}{
		{"a version without v", "0.1.0", "a version is like", nil},
		{"a version with two numbers", "v0.1", "a version is like", nil},
		{"a version that needs another path", "v2.0.0", "other module paths", nil},
		{"a version that the changelog does not have", "v0.2.0", `"## [0.2.0] - YEAR-MONTH-DAY"`, nil},
		{"a section without a date", version, "does not begin with", file("CHANGELOG.md", "[0.1.0] - 2026-01-01", "[0.1.0]")},
		{"changes that are in no version", version, "under Unreleased", file("CHANGELOG.md", "## [0.1.0]", "- More.\n\n## [0.1.0]")},
		{"a change that is not committed", version, "not committed", func(t *testing.T) { write(t, filepath.Join(repo.dir, "new"), "") }},
		{"a tag that is there", version, "there is a tag storage/pgstore/v0.1.0", func(t *testing.T) { git(t, repo, "tag", "storage/pgstore/v0.1.0") }},
		{"a version before the last", version, "older than v0.1.1-rc.2", func(t *testing.T) { git(t, repo, "tag", "v0.1.1-rc.2") }},
		{"a module that go.work does not have", version, "does not use ./storage/pgstore", file("go.work", "./storage/pgstore\n", "\n")},
		{"a module in another folder", version, "is found as", file("storage/pgstore/go.mod", "latchkey/storage/pgstore", "latchkey/pgstore")},
		{"a replace of somebody else's module", version, "go install refuses", file("storage/pgstore/go.mod", "replace ", "replace github.com/jackc/pgx/v5 => github.com/ann/pgx/v5 v5.0.0\n\nreplace ")},
		{"a module of this tree that is not replaced", version, "does not replace", file("storage/pgstore/go.mod", "replace github.com/wontopos/latchkey => ../..", "")},
		{"a module that depends on a proof", version, "which is not published", file("storage/pgstore/go.mod", "replace ", "require github.com/wontopos/latchkey/bench v0.0.0\n\nreplace github.com/wontopos/latchkey/bench => ../../bench\n\nreplace ")},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				git(t, repo, "reset", "--quiet", "--hard", good)
				git(t, repo, "clean", "--quiet", "-fd")
				for tag := range strings.FieldsSeq(git(t, repo, "tag")) {
					git(t, repo, "tag", "--delete", tag)
				}
			}()
			if c.harm != nil {
				c.harm(t)
			}
			if err := run(t.Context(), repo.dir, c.version, true, io.Discard); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("release says %v, and not %q", err, c.says)
			}
			if git(t, repo, "branch", "--list", "release-*") != "" {
				t.Error("a release was made")
			}
		})
	}
}

func TestVersionsAreOrdered(t *testing.T) {
	ordered := []string{"v0.1.0-alpha", "v0.1.0-alpha.1", "v0.1.0-rc.2", "v0.1.0-rc.10", "v0.1.0", "v0.1.1", "v0.2.0", "v0.10.0", "v1.0.0-1", "v1.0.0-rc", "v1.0.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			x, okX := parse(a)
			y, okY := parse(b)
			if !okX || !okY || (x.compare(y) < 0) != (i < j) || (x.compare(y) == 0) != (i == j) {
				t.Errorf("compare(%s, %s) = %d", a, b, x.compare(y))
			}
		}
	}
	for _, bad := range []string{"", "v1", "v01.0.0", "v1.0.0-", "v1.0.0-rc.01", "v1.0.0+build", "storage/pgstore/v0.1.0", "v9999999999999999999.0.0"} {
		if _, ok := parse(bad); ok {
			t.Errorf("%q is taken for a version", bad)
		}
	}
}

func git(t *testing.T, repo tree, args ...string) string {
	t.Helper()
	out, err := repo.git(args...)
	must(t, err)
	return out
}

func tool(t *testing.T, at tree, args ...string) string {
	t.Helper()
	out, err := at.run(nil, "go", args...)
	must(t, err)
	return out
}

func write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o750))
	must(t, os.WriteFile(name, []byte(text), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
