package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// make makes the two commits, and then the branch and all tags in one step.
func (r *release) make(t tree) error {
	head, err := t.git("rev-parse", "HEAD")
	if err != nil {
		return err
	}
	tagged, err := r.commit(t, head, "Release "+r.version+"\n\n"+
		"Published modules require this version of each other and replace nothing:\n"+
		"programs can require them, and go install can build their commands.\n", true)
	if err != nil {
		return err
	}
	next, err := r.commit(t, tagged, "Put replace back after "+r.version+"\n\nThe tree builds from itself again.\n", false)
	if err != nil {
		return err
	}
	refs := "create refs/heads/" + r.branch() + " " + next + "\n"
	for _, m := range r.published() {
		refs += "create refs/tags/" + m.tag(r.version) + " " + tagged + "\n"
	}
	_, err = t.run([]byte(refs), "git", "update-ref", "--stdin")
	return err
}

// commit makes a commit in which every module requires this version of the
// others. It has an index of its own: neither that of the tree nor a file changes.
func (r *release) commit(t tree, parent, message string, strip bool) (string, error) {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	t.env = []string{"GIT_INDEX_FILE=" + filepath.Join(dir, "index")}
	if _, err := t.git("read-tree", parent); err != nil {
		return "", err
	}
	for _, m := range r.modules {
		var edits []string
		for _, other := range m.requires {
			edits = append(edits, "-require="+other+"@"+r.version)
		}
		if strip && m.published() {
			for _, other := range m.replaces {
				edits = append(edits, "-dropreplace="+other)
			}
		}
		if len(edits) == 0 {
			continue
		}
		text, err := t.edit(m.text, edits...)
		if err != nil {
			return "", err
		}
		blob, err := t.run([]byte(text), "git", "hash-object", "-w", "--stdin")
		if err != nil {
			return "", err
		}
		if _, err := t.git("update-index", "--cacheinfo", "100644,"+blob+","+m.file()); err != nil {
			return "", err
		}
	}
	made, err := t.git("write-tree")
	if err != nil {
		return "", err
	}
	return t.run([]byte(message), "git", "commit-tree", made, "-p", parent)
}

// plan says what would be made.
func (r *release) plan(out io.Writer) {
	var left []string
	for _, m := range r.modules {
		if !m.published() {
			left = append(left, m.dir)
		}
	}
	_, _ = fmt.Fprintf(out, `Nothing was made. These modules are published, each under its tag:
  %s
These are not:
  %s
make release VERSION=%s APPLY=1 makes the tags and the branch %s.
`, strings.Join(r.tags(), "\n  "), strings.Join(left, "\n  "), r.version, r.branch())
}

func (r *release) tags() (all []string) {
	for _, m := range r.published() {
		all = append(all, m.tag(r.version))
	}
	return all
}

// next says what to do with what was made.
func (r *release) next(out io.Writer) {
	tags, fetch := strings.Join(r.tags(), " "), ""
	for _, m := range r.published() {
		fetch += "\n  GOPROXY=https://proxy.golang.org go list -m " + m.path + "@" + r.version
	}
	_, _ = fmt.Fprintf(out, `The branch %[1]s has the tagged commit, and one that puts replace back. To undo:

  git branch -D %[1]s && git tag -d %[2]s

1. Push the branch, wait for CI, and merge it into main: no squash, no rebase, or the tags are not in main.

  git push origin %[1]s

2. Push all tags at once. What the proxy has seen once cannot be changed any more.

  git push --atomic origin %[2]s

3. Let the proxy fetch every module, from a directory outside the tree:
%[3]s

RELEASE.md says what comes after, and what to do if something was wrong.
`, r.branch(), tags, fetch)
}
