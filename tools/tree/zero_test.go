package tree

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
)

// zeros has a pointer to the zero value of each exported type with methods.
// Whoever adds a type is told by TestZeroValuesDoNotPanic to add it here, or to
// made, with the constructor that it needs.
var zeros = map[string][]any{
	"apikey": {
		new(apikey.AuditQuery), new(apikey.Code), new(apikey.Counts), new(apikey.DayCounts), new(apikey.Environment),
		new(apikey.Error), new(apikey.Key), new(apikey.LastUse), new(apikey.Limit), new(apikey.Plan), new(apikey.Principal),
		new(apikey.Requirement), new(apikey.Scope), new(apikey.Secret), new(apikey.State), new(apikey.Usage),
	},
	"storage": {
		new(storage.Digest), new(storage.FeedQuery), new(storage.Position), new(storage.Query), new(storage.Record), new(storage.UsageDelta),
	},
	".": {
		new(latchkey.Explanation), new(latchkey.Pepper), new(latchkey.Step), new(latchkey.Token),
	},
	"internal/engine": {
		new(engine.Flight), new(engine.Sample), new(engine.Verified),
	},
	"limiter":    {new(limiter.Decision), new(limiter.Request), new(limiter.Settlement)},
	"middleware": {new(middleware.Call), new(middleware.Extractor), new(middleware.Outcome)},
}

// made are the types whose documentation names the function that makes them.
var made = map[string][]string{
	".":               {"Service"},
	"storage":         {"Filter", "Hub"},
	"limiter":         {"Window", "Shared"},
	"middleware":      {"Guard", "Door", "Mux"},
	"internal/engine": {"Engine", "Withdrawal"},
}

// TestZeroValuesDoNotPanic calls every exported method of every exported type
// of these packages with zero arguments, on the zero value, and on a nil
// pointer where handlers are given one.
func TestZeroValuesDoNotPanic(t *testing.T) {
	for pkg, values := range zeros {
		known := slices.Clone(made[pkg])
		for _, v := range values {
			of := reflect.TypeOf(v).Elem()
			known = append(known, of.Name())
			callAll(t, pkg+"."+of.Name(), reflect.ValueOf(v))
		}
		for _, name := range withMethods(t, pkg) {
			if !slices.Contains(known, name) {
				t.Errorf("%s.%s has methods and is in none of the two lists of this test", pkg, name)
			}
		}
	}
	callAll(t, "a nil *apikey.Principal", reflect.ValueOf((*apikey.Principal)(nil)))
	callAll(t, "a nil *engine.Sample", reflect.ValueOf((*engine.Sample)(nil)))
}

func callAll(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	for i := range v.NumMethod() {
		method := v.Type().Method(i).Name
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: %s panics: %v", name, method, p)
				}
			}()
			f := v.Method(i)
			var args []reflect.Value
			for j := range f.Type().NumIn() {
				args = append(args, argument(f.Type().In(j)))
			}
			if f.Type().IsVariadic() {
				f.CallSlice(args)
			} else {
				f.Call(args)
			}
		}()
	}
}

// argument is zero, but for what nobody would leave out.
func argument(of reflect.Type) reflect.Value {
	switch of {
	case reflect.TypeFor[context.Context]():
		return reflect.ValueOf(context.Background())
	case reflect.TypeFor[middleware.Fields]():
		return reflect.ValueOf(noFields{})
	case reflect.TypeFor[http.ResponseWriter]():
		return reflect.ValueOf(httptest.NewRecorder())
	case reflect.TypeFor[*http.Request]():
		return reflect.ValueOf(httptest.NewRequest(http.MethodGet, "/", nil))
	case reflect.TypeFor[fmt.State]():
		return reflect.ValueOf(noState{})
	}
	if of.Kind() == reflect.Func {
		return reflect.MakeFunc(of, func([]reflect.Value) (out []reflect.Value) {
			for i := range of.NumOut() {
				out = append(out, reflect.Zero(of.Out(i)))
			}
			return out
		})
	}
	return reflect.Zero(of)
}

type noFields struct{}

func (noFields) Values(string) []string { return nil }

type noState struct{}

func (noState) Write(b []byte) (int, error) { return len(b), nil }
func (noState) Width() (int, bool)          { return 0, false }
func (noState) Precision() (int, bool)      { return 0, false }
func (noState) Flag(int) bool               { return false }

// withMethods returns the names of the exported types of a package that have
// exported methods.
func withMethods(t *testing.T, pkg string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pkg, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, fs.ErrNotExist)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || !f.Name.IsExported() {
				continue
			}
			of := f.Recv.List[0].Type
			if star, ok := of.(*ast.StarExpr); ok {
				of = star.X
			}
			if id, ok := of.(*ast.Ident); ok && id.IsExported() && !slices.Contains(names, id.Name) {
				names = append(names, id.Name)
			}
		}
	}
	return names
}
