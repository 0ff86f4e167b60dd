package tree_test

import (
	"fmt"
	"go/ast"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// mutantVariable chooses the mutant that a test binary runs; without it the code is sound.
const mutantVariable = "LATCHKEY_MUTANT"

// inject returns the files that the mutants change, by path: each is a copy of its function beside the sound one,
// which calls it when the environment says so.
func inject(mutants map[int]edit) map[string]string {
	files := map[string]string{}
	starts := map[string]map[int]string{} // what goes into a file at an offset
	for _, id := range slices.Sorted(maps.Keys(mutants)) {
		e := mutants[id]
		f := e.node.(*ast.FuncDecl)
		name := fmt.Sprintf("%s_mutant%d", f.Name.Name, id)
		if starts[e.path] == nil {
			starts[e.path], files[e.path] = map[int]string{}, e.text
		}
		call, _ := callOf(f, name)
		starts[e.path][e.offset(f.Body.Lbrace)+1] += fmt.Sprintf(" if latchkeyMutant == %d { %s }; ", id, call)
		// The compiler's errors name the mutant.
		files[e.path] += fmt.Sprintf("\n//line mutant%d.go:1\n%s%s%s%s%s\n", id, e.text[e.decl.from:e.offset(f.Name.Pos())], name,
			e.text[e.offset(f.Name.End()):e.from], e.new, e.text[e.to:e.decl.to])
		files[filepath.Join(filepath.Dir(e.path), "latchkey_mutant.go")] = fmt.Sprintf(
			"package %s\n\nimport (\n\t\"os\"\n\t\"strconv\"\n)\n\nvar latchkeyMutant, _ = strconv.Atoi(os.Getenv(%q))\n", e.pkg, mutantVariable)
	}
	for path, at := range starts {
		for _, offset := range slices.Backward(slices.Sorted(maps.Keys(at))) {
			files[path] = files[path][:offset] + at[offset] + files[path][offset:]
		}
	}
	return files
}

// injectable reports whether the mutant can be a copy of its function. One that recovers cannot be: recover works
// only in the function that was deferred.
func (e edit) injectable() bool {
	f, ok := e.node.(*ast.FuncDecl)
	if !ok || f.Body == nil || e.from <= e.offset(f.Body.Lbrace) || strings.Contains(e.text[e.decl.from:e.decl.to], "recover()") {
		return false
	}
	_, ok = callOf(f, "")
	return ok
}

// callOf returns a call of name with what f was called with. It cannot be made when a parameter has no name.
func callOf(f *ast.FuncDecl, name string) (call string, ok bool) {
	var unnamed bool
	names := func(l *ast.FieldList) string {
		var all []string
		for i := 0; l != nil && i < len(l.List); i++ {
			unnamed = unnamed || l.List[i].Names == nil
			for _, n := range l.List[i].Names {
				unnamed = unnamed || n.Name == "_"
				all = append(all, n.Name)
			}
			if _, variadic := l.List[i].Type.(*ast.Ellipsis); variadic {
				return strings.Join(all, ", ") + "..."
			}
		}
		return strings.Join(all, ", ")
	}
	if call = name; f.Recv != nil {
		call = names(f.Recv) + "." + name
	}
	if f.Type.TypeParams != nil {
		call += "[" + names(f.Type.TypeParams) + "]"
	}
	call += "(" + names(f.Type.Params) + ")"
	if f.Type.Results != nil {
		return "return " + call, !unnamed
	}
	return call + "; return", !unnamed
}
