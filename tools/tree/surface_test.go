package tree_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// surface is how many names a package may export, without methods and fields. docs/contract.md has what they are to be
// at 1.0: a number here goes down, and goes up only with the reason in the commit.
var surface = map[string]int{
	".": 30, "apikey": 74, "middleware": 26, "limiter": 19, "storage": 49, "admin": 15, "latchkeytest": 6,
	"limiter/limitertest": 6, "middleware/middlewaretest": 19, "storage/storetest": 4,
	"middleware/latchconnect": 2,
	"middleware/latchecho":    3,
	"middleware/latchfiber":   4,
	"middleware/latchgin":     3,
	"middleware/latchgrpc":    2,
	"middleware/latchhuma":    3,
	"middleware/latchopenapi": 3,
	"storage/memstore":        2, "storage/badgerstore": 3, "storage/pgstore": 13, "storage/pgstore/pgtest": 5,
	"middleware/latchmcp":  3,
	"middleware/latchotel": 2,
}

// TestSurface: what a user has to look through does not grow unseen.
func TestSurface(t *testing.T) {
	t.Parallel()
	for _, dir := range slices.Sorted(maps.Keys(surface)) {
		if names := exported(t, dir); len(names) != surface[dir] {
			t.Errorf("%s exports %d names, and may export %d: %s", dir, len(names), surface[dir], strings.Join(names, " "))
		}
	}
}

func exported(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, raw, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			for _, id := range declared(d) {
				if id.IsExported() {
					names[id.Name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// declared returns the names of a declaration; a method has none of its own.
func declared(d ast.Decl) (ids []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			ids = append(ids, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				ids = append(ids, spec.Name)
			case *ast.ValueSpec:
				ids = append(ids, spec.Names...)
			}
		}
	}
	return ids
}

// TestFilesAreShort: nobody has to scroll through more than 400 lines of Go for one subject.
func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != "." && (strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata" || e.Name() == "node_modules"):
			return filepath.SkipDir
		case e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".gen.go"):
			return nil
		}
		raw, err := os.ReadFile(path)
		if n := bytes.Count(raw, []byte("\n")); n > 400 {
			t.Errorf("%s has %d lines: give each of its subjects a file", path, n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
