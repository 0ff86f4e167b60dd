// Platforms type-checks modules of the tree, tests included, for the platforms that CI does not run on. It finds what
// "go vet" fails on there: constants that overflow an int of 32 bits, and names that a system does not have. Vet would
// compile all of the standard library and of every driver for each platform first, which takes minutes where nothing
// is cached; types alone take seconds, and no cache.
//
//	platforms linux/386,windows/amd64 MODULE...
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: platforms OS/ARCH,... MODULE...")
		os.Exit(2)
	}
	var wg sync.WaitGroup
	var failed sync.Map
	for platform := range strings.SplitSeq(os.Args[1], ",") {
		wg.Go(func() {
			if err := check(platform, os.Args[2:]); err != nil {
				fmt.Fprintf(os.Stderr, "%s:\n%v\n", platform, err)
				failed.Store(platform, true)
			}
		})
	}
	wg.Wait()
	for range failed.Range {
		os.Exit(1)
	}
}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath, Name, Dir string
	GoFiles               []string
	ImportMap             map[string]string
	Standard, DepOnly     bool
	Error                 *struct{ Err string }
}

// checker type-checks the packages of one platform. The standard library is shared by the modules.
type checker struct {
	fset     *token.FileSet
	sizes    types.Sizes
	std, own map[string]*types.Package
	found    map[string]bool
	errs     []error
}

func check(platform string, modules []string) error {
	system, arch, _ := strings.Cut(platform, "/")
	c := &checker{token.NewFileSet(), types.SizesFor("gc", arch), map[string]*types.Package{"unsafe": types.Unsafe}, nil, map[string]bool{}, nil}
	if c.sizes == nil {
		return fmt.Errorf("unknown architecture %q", arch)
	}
	for _, dir := range modules {
		c.own = map[string]*types.Package{}
		cmd := exec.Command("go", "list", "-e", "-deps", "-test", "-json=ImportPath,Name,Dir,GoFiles,ImportMap,Standard,DepOnly,Error", "./...")
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: go list: %w", dir, err)
		}
		for d := json.NewDecoder(strings.NewReader(string(out))); ; { // what is imported comes first
			var p pkg
			if err := d.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			c.check(dir, p)
		}
	}
	return errors.Join(c.errs...)
}

func (c *checker) check(module string, p pkg) {
	if c.std[p.ImportPath] != nil || strings.HasSuffix(p.ImportPath, ".test") {
		return
	}
	if p.Error != nil && !p.DepOnly && len(p.GoFiles) > 0 {
		c.fail(module, errors.New(p.Error.Err))
	}
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			c.fail(module, err)
			return
		}
		files = append(files, f)
	}
	conf := types.Config{
		Importer: importer(func(path string) (*types.Package, error) {
			if to, ok := p.ImportMap[path]; ok {
				path = to
			}
			if found := c.std[path]; found != nil {
				return found, nil
			}
			if found := c.own[path]; found != nil {
				return found, nil
			}
			return nil, fmt.Errorf("no package %s", path)
		}),
		Sizes:            c.sizes,
		IgnoreFuncBodies: p.DepOnly,
		Error: func(err error) {
			if !p.DepOnly {
				c.fail(module, err)
			}
		},
	}
	path, _, _ := strings.Cut(p.ImportPath, " ")
	checked, _ := conf.Check(path, c.fset, files, nil)
	if p.Standard {
		c.std[p.ImportPath] = checked
	} else {
		c.own[p.ImportPath] = checked
	}
}

// fail keeps an error once: a package is listed again for its tests.
func (c *checker) fail(module string, err error) {
	if text := err.Error(); !c.found[text] {
		c.found[text] = true
		c.errs = append(c.errs, fmt.Errorf("%s: %w", module, err))
	}
}

type importer func(path string) (*types.Package, error)

func (i importer) Import(path string) (*types.Package, error) { return i(path) }
