package tree_test

import (
	"bytes"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wontopos/latchkey/apikey"
)

var (
	fence   = regexp.MustCompile("(?ms)^```(\\w*)[^\n]*\n(.*?)^```$")
	mdLink  = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	urlLike = regexp.MustCompile(`^[a-z]+:`)
	// machinePath is a path of somebody's machine. A longer path or address that merely contains one is fine.
	machinePath = regexp.MustCompile(`(^|[^\w./:$}-])/(root|work|home/\w+)/`)
)

// TestDocs holds the pages to what can be checked: links to files lead somewhere, Go code is formatted.
func TestDocs(t *testing.T) {
	t.Parallel()
	for _, name := range treeFiles(t) {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fence.FindAllSubmatch(page, -1) {
			if string(m[1]) != "go" {
				continue
			}
			if want, err := format.Source(m[2]); err != nil {
				t.Errorf("%s: a Go block does not parse: %v\n%s", name, err, m[2])
			} else if !bytes.Equal(bytes.TrimSpace(want), bytes.TrimSpace(m[2])) {
				t.Errorf("%s: a Go block is not formatted, want:\n%s", name, want)
			}
		}
		for _, m := range mdLink.FindAllSubmatch(fence.ReplaceAll(page, nil), -1) {
			target, _, _ := strings.Cut(string(m[1]), "#")
			if target == "" || urlLike.MatchString(target) {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s: the link %s leads nowhere", name, m[1])
			}
		}
	}
}

// TestNoMachinePaths fails when a text file names a path that exists on one machine only.
func TestNoMachinePaths(t *testing.T) {
	t.Parallel()
	for _, name := range treeFiles(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(text) {
			continue
		}
		for i, line := range strings.Split(string(text), "\n") {
			if m := machinePath.FindString(line); m != "" {
				t.Errorf("%s:%d: the path %q is of one machine", name, i+1, strings.TrimSpace(m))
			}
		}
	}
}

// TestReadmeProgramIsAnExample holds the program of the README to one that is built with every test.
func TestReadmeProgramIsAnExample(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("examples/hello/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ = bytes.Cut(program, []byte("\n")) // its doc comment
	if !bytes.Contains(readme, append([]byte("```go\n"), program...)) {
		t.Error("the first program of README.md is not examples/hello/main.go")
	}
}

// TestEveryCodeIsExplained holds docs/errors.md, where the type of every problem leads, to the codes that there are.
func TestEveryCodeIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, c := range apikey.Codes() {
		if c != apikey.OK {
			names[c.String()] = true
		}
	}
	own, err := os.ReadFile("admin/failure.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`CodeInfo\{Name: "(\w+)"`).FindAllSubmatch(own, -1) {
		names[string(m[1])] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllSubmatch(page, -1) {
		if !names[string(m[1])] {
			t.Errorf("docs/errors.md explains %s, which is no code", m[1])
		}
		delete(names, string(m[1]))
	}
	for name := range names {
		t.Errorf("docs/errors.md does not explain %s", name)
	}
}
