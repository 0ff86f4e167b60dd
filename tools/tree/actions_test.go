package tree_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestAuditActionsAreListed: whoever filters an audit trail finds every action that the service writes in the comment of
// apikey.AuditEntry and in the OpenAPI document, and no others.
func TestAuditActionsAreListed(t *testing.T) {
	t.Parallel()
	written := auditActions(t)
	if len(written) == 0 {
		t.Fatal("no actions found in the service")
	}
	raw, err := os.ReadFile("apikey/audit.go")
	if err != nil {
		t.Fatal(err)
	}
	_, comment, _ := strings.Cut(string(raw), "Its Action is one of:")
	comment, _, _ = strings.Cut(comment, "type AuditEntry")
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^//\t(\w+(?:, \w+)*)`).FindAllStringSubmatch(comment, -1) {
		listed = append(listed, strings.Split(m[1], ", ")...)
	}
	if slices.Sort(listed); !slices.Equal(listed, written) {
		t.Errorf("the service writes %q, the comment of AuditEntry lists %q", written, listed)
	}

	if raw, err = os.ReadFile("admin/openapi.yaml"); err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^ +action: { enum: \[(.*)\] }$`).FindSubmatch(raw)
	if m == nil {
		t.Fatal("openapi.yaml lists no actions")
	}
	enum := strings.Split(string(m[1]), ", ")
	if slices.Sort(enum); !slices.Equal(enum, written) {
		t.Errorf("the service writes %q, openapi.yaml lists %q", written, enum)
	}
}

// auditActions returns the actions in the root package, sorted: what it passes to mutate, and what it sets as Action.
func auditActions(t *testing.T) (actions []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			s, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			actions = append(actions, s)
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "mutate" {
					add(n.Args[3])
				}
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Action" {
					add(n.Value)
				}
			case *ast.AssignStmt:
				if f, ok := n.Lhs[0].(*ast.SelectorExpr); ok && f.Sel.Name == "Action" {
					add(n.Rhs[0])
				}
			}
			return true
		})
	}
	slices.Sort(actions)
	return slices.Compact(actions)
}
