package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// root is the path of the module at the root of the tree.
const root = "github.com/wontopos/latchkey"

// proofs are the folders whose modules are not published: nobody depends on them.
var proofs = []string{"bench", "examples", "tools"}

// module is a module of the tree.
type module struct {
	dir  string // relative; "." is the root
	path string
	text string // of its go.mod
	// requires and replaces are modules of this tree, each replaced by another
	// folder of it; foreign are modules that are replaced otherwise.
	requires, replaces, foreign []string
}

func (m *module) file() string { return path.Join(m.dir, "go.mod") }

func (m *module) published() bool {
	top, _, _ := strings.Cut(m.dir, "/")
	return !slices.Contains(proofs, top)
}

// tag is the name under which the go command looks for a version.
func (m *module) tag(version string) string { return path.Join(m.dir, version) }

// modules reads all modules of a commit, the root first.
func (t tree) modules() (all []*module, err error) {
	names, err := t.git("ls-tree", "-r", "--name-only", "HEAD")
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(names, "\n") {
		if path.Base(name) != "go.mod" || slices.Contains(strings.Split(name, "/"), "testdata") {
			continue
		}
		m := &module{dir: path.Dir(name)}
		if m.text, err = t.git("show", "HEAD:"+name); err != nil {
			return nil, err
		}
		if err := m.read(t); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *module) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

// read fills a module from the text of its go.mod.
func (m *module) read(t tree) error {
	text, err := t.edit(m.text, "-json")
	if err != nil {
		return err
	}
	var mod struct {
		Module  struct{ Path string }
		Require []struct{ Path string }
		Replace []struct {
			Old, New struct{ Path, Version string }
		}
	}
	if err := json.Unmarshal([]byte(text), &mod); err != nil {
		return fmt.Errorf("%s: %w", m.file(), err)
	}
	m.path = mod.Module.Path
	for _, r := range mod.Require {
		if ours(r.Path) {
			m.requires = append(m.requires, r.Path)
		}
	}
	for _, r := range mod.Replace {
		if ours(r.Old.Path) && r.Old.Version == "" && path.Join(root, m.dir, r.New.Path) == r.Old.Path {
			m.replaces = append(m.replaces, r.Old.Path)
		} else {
			m.foreign = append(m.foreign, r.Old.Path)
		}
	}
	return nil
}

func ours(modulePath string) bool {
	return modulePath == root || strings.HasPrefix(modulePath, root+"/")
}

// edit returns what "go mod edit" makes, or prints, of the text of a go.mod.
func (t tree) edit(text string, args ...string) (string, error) {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	name := filepath.Join(dir, "go.mod")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		return "", err
	}
	out, err := t.run(nil, "go", append(append([]string{"mod", "edit"}, args...), name)...)
	if err != nil || slices.Contains(args, "-json") {
		return out, err
	}
	edited, err := os.ReadFile(name)
	return string(edited), err
}
