package tree_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// expected are the packages that the rules below are about. Below their paths the rules hold, too.
var expected = []string{
	"apikey", "internal/engine", "internal/foreign", "internal/token", "limiter", "middleware", "storage", "storage/memstore", "storage/badgerstore", "storage/pgstore", "storage/redisstore", "storage/storetest",
	"admin", "latchkeytest",
}

// inward says which folders a folder must not import: the packages form a star around apikey, which imports none of
// them. The root package, the service, has no row here: see serves.
var inward = map[string][]string{
	"limiter":      {"storage", "middleware", "admin", "latchkeytest", "examples", "bench", "tools"},
	"storage":      {"middleware", "admin", "latchkeytest", "examples", "bench", "tools"},
	"middleware":   {"admin", "latchkeytest", "examples", "bench", "tools"},
	"admin":        {"latchkeytest", "examples", "bench", "tools"},
	"latchkeytest": {"admin", "examples", "bench", "tools"},
}

// serves are the folders of the root module that the service may import.
var serves = []string{"apikey", "storage", "internal"}

// parts says what the parts of the service may import of the module, besides apikey, storage and leaves.
var parts = map[string][]string{
	"internal/engine":  {"internal/faults", "internal/foreign", "internal/token"},
	"internal/faults":  {},
	"internal/foreign": {},
	"internal/token":   {"internal/faults"},
}

// lean packages are linked into every program that checks a key, and never reach one of heavy, however indirectly.
// Those look methods up by name, or lead to what does, and then the linker keeps every exported method of the whole
// program; or they drag a driver into programs that chose another.
var (
	lean  = []string{".", "apikey", "limiter", "middleware"}
	heavy = []string{
		"text/template", "html/template", "net/rpc", "net/http/pprof", "expvar", "database/sql",
		"github.com/go-playground/validator", "github.com/dgraph-io/badger", "github.com/jackc",
		"github.com/redis", "google.golang.org/grpc", "google.golang.org/protobuf",
	}
)

// thirdParty lists what the packages of the root module import from others, by the longest path that fits. A new
// row is a decision: every user of the module downloads it.
var thirdParty = map[string][]string{
	// XXH64, a stable hash: of a list in its cursor, of an asset in its address. Badger needs it as well.
	"": {"github.com/cespare/xxhash/v2"},
	// sys, which Badger needs as well: how much room the disk has, and to set some aside.
	"storage/badgerstore": {"github.com/dgraph-io/badger/v4", "golang.org/x/sys"},
	// argon2id, for passwords that people choose: the standard library has no hash that costs memory.
	"admin": {"github.com/cespare/xxhash/v2", "github.com/go-playground/validator/v10", "golang.org/x/crypto/argon2"},
}

// thirdPartyTests is what tests of the root module may import besides.
var thirdPartyTests = []string{"github.com/google/go-cmp", "pgregory.net/rapid"}

// servers are packages that start a server for tests. They are named like conformance suites and are none: they talk
// to the server with its driver, and live in its module.
var servers = []string{"storage/pgstore/pgtest", "storage/redisstore/redistest"}

// proofs are nested modules that nobody depends on: they measure and try what is inside.
var proofs = []string{"bench", "tools"}

// leaves import nothing of the module; every package of the root module may import them.
var leaves = []string{"internal/bounds", "internal/redact", "internal/slot"}

// outward reports whether a package in folder from must not import the one in folder to.
func outward(from, to string) bool {
	top, _, _ := strings.Cut(from, "/")
	if inner, is := parts[from]; is {
		return !below(to, "apikey", "storage") && !below(to, leaves...) && !below(to, inner...)
	}
	switch {
	case to == "internal/engine" && top != "" && top != "." && top != "middleware" && !slices.Contains(proofs, top): // see docs/contract.md
		return true
	case top == "apikey":
		return !below(to, "apikey") && !below(to, leaves...)
	case top == "." || top == "":
		return !below(to, serves...)
	case to == "" && (top == "storage" || top == "limiter"): // they know no service
		return true
	}
	return below(from, leaves...) || below(to, inward[top]...)
}

// allowed is thirdParty's row for a folder.
func allowed(dir string) []string {
	row, best := thirdParty[""], ""
	for d, imports := range thirdParty {
		if d != "" && below(dir, d) && len(d) > len(best) {
			row, best = imports, d
		}
	}
	return row
}

func TestImports(t *testing.T) {
	t.Parallel()
	files, modules := readTree(t)
	for _, f := range files {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc"}, f.name) {
			t.Errorf("%s: package %s: a package is named for what it is about", f.path, f.name)
		}
		for _, imp := range f.imports {
			to, ours := local(imp)
			switch {
			case ours:
				if !f.test() && outward(f.dir, to) {
					t.Errorf("%s imports %s: imports point inward: apikey, storage, the service, what serves requests", f.path, imp)
				}
				if f.module != "" && !below(f.dir, proofs...) && owner(to, modules) == "" && slices.Contains(strings.Split(to, "/"), "internal") {
					t.Errorf("%s imports %s: a nested module lives on what the root module promises", f.path, imp)
				}
			case standard(imp):
			case !f.test() && strings.HasSuffix(f.name, "test") && !below(f.dir, servers...):
				t.Errorf("%s imports %s: a conformance suite asks nothing of its users but the standard library", f.path, imp)
			case f.module != "": // a module of its own is where drivers and frameworks live
			case below(imp, allowed(f.dir)...):
			case f.test() && below(imp, thirdPartyTests...):
			default:
				t.Errorf("%s imports %s: not in the table of this test", f.path, imp)
			}
		}
	}
}

// TestLeanPackages follows the imports of the lean packages to the end.
func TestLeanPackages(t *testing.T) {
	t.Parallel()
	files, _ := readTree(t) // for its effect on the cache, and to know which packages exist
	exist := map[string]bool{}
	for _, f := range files {
		if !f.test() {
			exist[f.dir] = true
		}
	}
	var absent []string
	for _, p := range expected {
		if !exist[p] {
			absent = append(absent, p)
		}
	}
	if len(absent) > 0 {
		t.Logf("expected packages that do not exist yet: %s", strings.Join(absent, ", "))
	}

	var patterns []string
	for _, p := range lean {
		if exist[p] {
			patterns = append(patterns, "./"+p)
		}
	}
	if len(patterns) == 0 {
		return
	}
	imports := goList(t, patterns...)
	for _, p := range lean {
		// via[x] is the package through which x was reached first.
		via, queue := map[string]string{}, []string{path.Join(module, p)}
		for len(queue) > 0 {
			at := queue[0]
			queue = queue[1:]
			for _, imp := range imports[at] {
				if _, seen := via[imp]; seen {
					continue
				}
				via[imp] = at
				queue = append(queue, imp)
			}
		}
		for _, imp := range slices.Sorted(maps.Keys(via)) {
			if below(imp, heavy...) {
				chain := imp
				for at := via[imp]; at != ""; at = via[at] {
					chain = at + " -> " + chain
				}
				t.Errorf("%s must stay lean, but: %s", p, chain)
			}
			// A folder without a row in inward may lie between, and then TestImports sees nothing.
			if to, ours := local(imp); ours && outward(p, to) {
				t.Errorf("%s reaches %s: imports point inward: apikey, storage, the service, what serves requests", p, imp)
			}
		}
	}
}

// goList returns the direct imports of the packages and of all they depend on.
func goList(t *testing.T, patterns ...string) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-json=ImportPath,Imports"}, patterns...)...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	imports := map[string][]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return imports
		} else if err != nil {
			t.Fatal(err)
		}
		imports[p.ImportPath] = p.Imports
	}
}
