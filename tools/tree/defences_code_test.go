package tree_test

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// tree is the code that rows are fitted to, read once.
type tree struct {
	root string

	mu    sync.Mutex
	decls map[string]map[string][]*decl // by directory and name; init may be declared often
	tests map[string][]string           // by directory
}

func newTree(root string) *tree {
	return &tree{root: root, decls: map[string]map[string][]*decl{}, tests: map[string][]string{}}
}

// decl is one declaration of a package, or the whole of a file that is not Go.
type decl struct {
	path     string // absolute
	text     string // of the file
	from, to int    // where in the text the declaration is
	pkg      string
	node     ast.Node
	fset     *token.FileSet
	lexemes  []lexeme
}

// edit is a mutation: text[from:to] of decl's file becomes new.
type edit struct {
	*decl
	from, to int
	new      string
}

// mutated returns the declaration's file after the edit.
func (e edit) mutated() string { return e.text[:e.from] + e.new + e.text[e.to:] }

// fit finds the one place that the row's mutation works on.
func (t *tree) fit(d defence) (edit, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	stale := func(format string, args ...any) (edit, error) {
		return edit{}, fmt.Errorf("%w: %s: %s", errStale, fmt.Sprintf(format, args...), d.old)
	}
	found, near, err := t.find(d)
	switch {
	case err != nil:
		return stale("%v", err)
	case len(found) > 1:
		return stale("%s holds this %d times; name more of the statement", d.where, len(found))
	case len(found) == 0 && len(near) > 0:
		return stale("%s does not hold this, but %s does; if the code moved there, change the name in the row", d.where, strings.Join(near, ", "))
	case len(found) == 0:
		return stale("%s in %s does not hold this; if the code changed, name what now keeps the rule", d.where, d.dir)
	}
	e := found[0]
	if err := e.apply(d); err != nil {
		return stale("%v", err)
	}
	if e.new == e.text[e.from:e.to] {
		return stale("the mutation changes nothing")
	}
	if e.node != nil {
		if _, err := parser.ParseFile(token.NewFileSet(), "", e.mutated(), 0); err != nil {
			return e, fmt.Errorf("%w: %w", errBroken, err)
		}
	}
	return e, t.hasTest(d)
}

// find returns every place in the row's declaration that reads as the row says, and the names of the other
// declarations of the package that have one.
func (t *tree) find(d defence) (found []edit, near []string, err error) {
	if strings.Contains(d.where, "/") {
		paths, err := filepath.Glob(filepath.Join(t.root, d.dir, d.where))
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, nil, err
			}
			whole := &decl{path: path, text: string(text), to: len(text)}
			found = append(found, whole.words(d.old, 0, len(text))...)
		}
		return found, nil, err
	}
	decls, err := t.declarations(d.dir)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range decls[d.where] {
		found = append(found, l.tokens(d.old)...)
	}
	for name, all := range decls {
		if found == nil && slices.ContainsFunc(all, func(l *decl) bool { return l.tokens(d.old) != nil }) {
			near = append(near, name)
		}
	}
	if decls[d.where] == nil && near == nil {
		return nil, nil, fmt.Errorf("there is no %s in %s", d.where, d.dir)
	}
	return found, near, nil
}

// declarations reads the package in dir, without its tests.
func (t *tree) declarations(dir string) (map[string][]*decl, error) {
	if known := t.decls[dir]; known != nil {
		return known, nil
	}
	decls := map[string][]*decl{}
	entries, err := os.ReadDir(filepath.Join(t.root, dir))
	for _, e := range entries {
		path := filepath.Join(t.root, dir, e.Name())
		if ok, err := build.Default.MatchFile(filepath.Dir(path), e.Name()); err != nil || !ok || strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		add := func(name string, node ast.Node) {
			l := &decl{path: path, text: string(text), pkg: file.Name.Name, node: node, fset: fset}
			l.from, l.to = l.offset(node.Pos()), l.offset(node.End())
			l.lexemes = lex(l.text[l.from:l.to])
			decls[name] = append(decls[name], l)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				add(receiver(d)+d.Name.Name, d)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						add(spec.Name.Name, spec)
					case *ast.ValueSpec:
						add(spec.Names[0].Name, spec)
					}
				}
			}
		}
	}
	t.decls[dir] = decls
	return decls, err
}

// receiver returns "cache." for a method of cache, *cache or cache[K].
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	var name string
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name + "."
		}
		return true
	})
	return name
}

// lexeme is a token of Go, and where it is in its text.
type lexeme struct {
	text     string
	from, to int
}

// lex splits Go into tokens, without what a formatter moves: white space, comments, semicolons, commas before a closing bracket.
func lex(src string) []lexeme {
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(src))
	s.Init(file, []byte(src), func(token.Position, string) {}, 0)
	var all []lexeme
	for {
		pos, tok, lit := s.Scan()
		if n := len(all); n > 0 && all[n-1].text == "," && (tok == token.RPAREN || tok == token.RBRACE || tok == token.RBRACK) {
			all = all[:n-1]
		}
		switch {
		case tok == token.EOF:
			return all
		case tok == token.SEMICOLON:
			continue
		case lit == "":
			lit = tok.String()
		}
		from := file.Offset(pos)
		all = append(all, lexeme{lit, from, from + len(lit)})
	}
}

// tokens returns the places in the declaration that have the tokens of old; of "A .. B", the first B after each A.
// An old in backquotes is sought inside string literals.
func (l *decl) tokens(old string) (found []edit) {
	if before, after, ok := strings.Cut(old, " .. "); ok {
		hits := l.tokens(after)
		for _, a := range l.tokens(before) {
			if i := slices.IndexFunc(hits, func(b edit) bool { return b.from >= a.to }); i >= 0 {
				found = append(found, hits[i])
			}
		}
		return found
	}
	if inner, ok := quoted(old); ok {
		for _, h := range l.lexemes {
			if h.text[0] == '`' || h.text[0] == '"' {
				found = append(found, l.words(inner, l.from+h.from, l.from+h.to)...)
			}
		}
		return found
	}
	want := lex(old)
	for i := range l.lexemes {
		if len(want) == 0 || i+len(want) > len(l.lexemes) {
			break
		}
		here := l.lexemes[i : i+len(want)]
		if slices.EqualFunc(here, want, func(a, b lexeme) bool { return a.text == b.text }) {
			found = append(found, edit{decl: l, from: l.from + here[0].from, to: l.from + here[len(here)-1].to})
		}
	}
	return found
}

func quoted(s string) (string, bool) {
	if len(s) < 2 || s[0] != '`' || s[len(s)-1] != '`' {
		return s, false
	}
	return s[1 : len(s)-1], true
}

// words returns the places in text[from:to] that read as old does, whatever the white space.
func (l *decl) words(old string, from, to int) []edit {
	words := strings.Fields(old)
	for i, w := range words {
		words[i] = regexp.QuoteMeta(w)
	}
	var found []edit
	for _, m := range regexp.MustCompile(strings.Join(words, `\s+`)).FindAllStringIndex(l.text[from:to], -1) {
		found = append(found, edit{decl: l, from: from + m[0], to: from + m[1]})
	}
	return found
}

// apply makes the row's operator the text of the edit. A statement is dropped and a condition decided without
// removing it, so that the variables and the imports that it uses stay used.
func (e *edit) apply(d defence) error {
	switch {
	case d.op == "->":
		if e.new = d.new; strings.HasPrefix(d.old, "`") {
			e.new, _ = quoted(d.new)
		}
		return nil
	case e.node == nil && d.op == "drop":
		return nil
	case e.node == nil:
		return fmt.Errorf("%s works on Go only", d.op)
	}
	from, to := token.Pos(0), token.Pos(0)
	path := e.enclosing()
	for i := len(path) - 1; i >= 0 && from == 0; i-- {
		if d.op == "drop" {
			from, to = e.statements(path[i])
		} else if i > 0 && condition(path[i-1], path[i]) {
			from, to = path[i].Pos(), path[i].End()
		}
	}
	if from == 0 {
		return fmt.Errorf("%s finds nothing to work on", d.op)
	}
	e.from, e.to = e.offset(from), e.offset(to)
	text := e.text[e.from:e.to]
	switch {
	case d.op == "true":
		e.new = "(true || (" + text + "))"
	case d.op == "false":
		e.new = "(false && (" + text + "))"
	case d.op == "not":
		e.new = "!(" + text + ")"
	case !strings.HasPrefix(text, "case ") && !strings.HasPrefix(text, "default"):
		e.new = "if false { " + text + " }"
	}
	return nil
}

func (l *decl) offset(p token.Pos) int { return l.fset.Position(p).Offset }

// enclosing returns the nodes that enclose the edit, the outermost first.
func (e *edit) enclosing() (path []ast.Node) {
	ast.Inspect(e.node, func(n ast.Node) bool {
		ok := n != nil && e.offset(n.Pos()) <= e.from && e.offset(n.End()) >= e.to
		if ok {
			path = append(path, n)
		}
		return ok
	})
	return path
}

// statements returns the extent of the statements of n's list that the edit touches.
func (e *edit) statements(n ast.Node) (from, to token.Pos) {
	var list []ast.Stmt
	switch n := n.(type) {
	case *ast.BlockStmt:
		list = n.List
	case *ast.CaseClause:
		list = n.Body
	case *ast.CommClause:
		list = n.Body
	}
	for _, s := range list {
		if e.offset(s.Pos()) < e.to && e.offset(s.End()) > e.from {
			if from == 0 {
				from = s.Pos()
			}
			to = s.End()
		}
	}
	return from, to
}

// condition reports whether n, a child of parent, is a whole condition.
func condition(parent, n ast.Node) bool {
	expr, ok := n.(ast.Expr)
	if !ok {
		return false
	}
	if b, ok := n.(*ast.BinaryExpr); ok && (b.Op == token.LAND || b.Op == token.LOR || b.Op.Precedence() == token.EQL.Precedence()) {
		return true
	}
	switch p := parent.(type) {
	case *ast.BinaryExpr:
		return p.Op == token.LAND || p.Op == token.LOR
	case *ast.UnaryExpr:
		return p.Op == token.NOT
	case *ast.IfStmt:
		return p.Cond == expr
	case *ast.ForStmt:
		return p.Cond == expr
	case *ast.KeyValueExpr:
		return p.Value == expr
	case *ast.CaseClause, *ast.ReturnStmt:
		return true
	case *ast.AssignStmt:
		return slices.Contains(p.Rhs, expr)
	}
	return false
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)

// hasTest looks for the row's test.
func (t *tree) hasTest(d defence) error {
	top, _, _ := strings.Cut(d.run, "/")
	pattern, err := regexp.Compile(top)
	if err != nil {
		return err
	}
	if t.tests[d.pkg] == nil {
		paths, _ := filepath.Glob(filepath.Join(t.root, d.pkg, "*_test.go"))
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
				t.tests[d.pkg] = append(t.tests[d.pkg], m[1])
			}
		}
	}
	if !slices.ContainsFunc(t.tests[d.pkg], pattern.MatchString) {
		return fmt.Errorf("%w: %s has no test %s", errStale, d.pkg, top)
	}
	return nil
}
