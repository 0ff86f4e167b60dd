package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wontopos/latchkey/middleware"
)

// TestMethodsFindTheDoorOfAMethod: its own row wins over that of its service, and
// a method without a row is not known.
func TestMethodsFindTheDoorOfAMethod(t *testing.T) {
	k := newKit(t, middleware.Options{})
	need := func(scope string) middleware.Route { return middleware.Route{Need: middleware.AllOf(scope)} }
	find := k.guard.Methods(map[string]middleware.Route{
		"/a.Things/List": need("a:list"), "/a.Things/*": need("a:all"), "/b.Things/List": need("b:list"), "/c.Things/*": need("c:all"),
	}, []string{"/a.Things/Ping", "/b.Health/*", "/c.Things/Get"})
	for method, want := range map[string]string{
		"/a.Things/List": "a:list", "/a.Things/Other": "a:all", "/a.Things/Ping": "public", "/b.Things/List": "b:list", "/b.Things/Other": "unknown",
		"/b.Health/Check": "public", "/c.Things/Get": "public", "/c.Things/Set": "c:all", "/d.Things/List": "unknown", "/": "unknown", "": "unknown", "a.Things": "unknown",
	} {
		got := "unknown"
		if door, known := find(method); door != nil {
			r, _ := k.guard.RouteOf(door.Wrap(http.NotFoundHandler()), httptest.NewRequest("GET", "/", nil))
			got = r.Need.String()
		} else if known {
			got = "public"
		}
		if got != want {
			t.Errorf("%q needs %s, want %s", method, got, want)
		}
	}
}

func TestMistakesInTheMethodsPanic(t *testing.T) {
	k := newKit(t, middleware.Options{})
	need := middleware.Route{Need: middleware.AnyKey()}
	type table = map[string]middleware.Route
	for name, c := range map[string]struct {
		guarded table
		public  []string
	}{
		"a route without a need":  {table{"/test.Things/Get": {}}, nil},
		"guarded and public":      {table{"/test.Things/Get": need}, []string{"/test.Things/Get"}},
		"public twice":            {nil, []string{"/test.Things/Get", "/test.Things/Get"}},
		"no slash at the front":   {nil, []string{"test.Things/Get"}},
		"a service alone":         {nil, []string{"/test.Things"}},
		"a star for all services": {nil, []string{"/*"}},
		"a star for a service":    {nil, []string{"/*/Get"}},
		"a star for a part":       {nil, []string{"/test.Things/Get*"}},
		"an empty name":           {nil, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("Methods accepts it")
				}
			}()
			k.guard.Methods(c.guarded, c.public)
		})
	}
}
