package tree_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/wontopos/latchkey"

// file is a Go file of the tree, of any of its modules.
type file struct {
	path    string // slash-separated, from the root
	dir     string // "" is the root
	module  string // folder of the go.mod above it; "" is the root
	name    string // of the package
	imports []string
}

func (f file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

// below reports whether p is one of the folders or import paths, or lies below one.
func below(p string, of ...string) bool {
	return slices.ContainsFunc(of, func(o string) bool { return p == o || strings.HasPrefix(p, o+"/") })
}

// local cuts the module's path off an import path.
func local(importPath string) (string, bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// standard reports whether an import path is of the standard library: only there has the first element no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// readTree parses the imports of every Go file below the root, and lists the folders that hold a go.mod. Reading
// the files here, and not in a child process, also lets go test see when a cached result is out of date.
func readTree(t *testing.T) (files []file, modules []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		p = filepath.ToSlash(p)
		if d.IsDir() {
			if n := d.Name(); p != "." && (n == "testdata" || n == "node_modules" || n[0] == '.' || n[0] == '_') {
				return fs.SkipDir
			}
			return nil
		}
		dir := strings.TrimPrefix(path.Dir(p), ".")
		if d.Name() == "go.mod" {
			modules = append(modules, dir)
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		f := file{path: p, dir: dir, name: parsed.Name.Name}
		for _, imp := range parsed.Imports {
			importPath, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, importPath)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i].module = owner(files[i].dir, modules)
	}
	return files, modules
}

// owner returns the folder of the module that dir belongs to: the longest that holds it.
func owner(dir string, modules []string) (of string) {
	for _, m := range modules {
		if m != "" && below(dir, m) && len(m) > len(of) {
			of = m
		}
	}
	return of
}

// treeFiles lists the regular files that are, or would be, in the repository.
func treeFiles(t *testing.T) (names []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err == nil {
		for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
			if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
				names = append(names, name)
			}
		}
		return names
	}
	// Not a checkout (an archive, a module cache): take what git would most likely have kept.
	err = filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch n := d.Name(); {
		case err != nil:
			return err
		case d.IsDir():
			if n == ".git" || n == ".bin" || n == "node_modules" {
				return fs.SkipDir
			}
		case d.Type().IsRegular():
			names = append(names, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
