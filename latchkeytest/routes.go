package latchkeytest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/middleware"
)

// CheckRoutes fails the test for each route of h that has no door of the guard, and
// is not named as public, and for each public one that has. It logs what each route
// requires. A route is written as routers write it: "GET /v1/things/{id}",
// "GET /v1/things/:id", "/v1/files/*". List those of your router, so that a new one
// cannot be forgotten:
//
//	for pattern := range mux.Routes() { routes = append(routes, pattern) }               // middleware.Mux
//	for _, r := range engine.Routes() { routes = append(routes, r.Method+" "+r.Path) }   // gin
//	h, routes := latchfiber.Routes(app)                                                  // fiber
//
// latchgrpc.Methods.Check compares the methods of a gRPC server with its guard's.
// Of nested doors it sees the outermost. No handler behind a door runs, but that of
// a route without one does, with an empty request.
func CheckRoutes(t testing.TB, guard *middleware.Guard, h http.Handler, routes []string, public ...string) {
	t.Helper()
	if len(routes) == 0 {
		t.Error("latchkeytest: no routes are named, so nothing is checked")
	}
	for _, p := range public {
		if !slices.Contains(routes, p) {
			t.Errorf("latchkeytest: %q is said to be public and is not among the routes", p)
		}
	}
	table := new(strings.Builder)
	for _, name := range routes {
		method, path := request(name)
		route, guarded, status, err := look(guard, h, httptest.NewRequestWithContext(t.Context(), method, path, nil))
		open := slices.Contains(public, name)
		switch {
		case guarded && open:
			t.Errorf("latchkeytest: %s is said to be public, and is guarded", name)
		case guarded:
			fmt.Fprintf(table, "\n%-40s %s", name, describe(route))
		case open:
			fmt.Fprintf(table, "\n%-40s public", name)
		case err != nil:
			t.Errorf("latchkeytest: %s is not guarded: its handler ran, and panicked: %v", name, err)
		case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
			t.Errorf("latchkeytest: %s comes to no door: %s %s is answered with %d. Is the route's name right?", name, method, path, status)
		default:
			t.Errorf("latchkeytest: %s is not guarded: put a door in front of it, or name it as public", name)
		}
	}
	t.Logf("routes:%s", table)
}

func look(guard *middleware.Guard, h http.Handler, r *http.Request) (route middleware.Route, guarded bool, status int, err error) {
	w := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	route, guarded = guard.RouteOf(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }), r)
	return route, guarded, w.Code, nil
}

func describe(r middleware.Route) string {
	need := r.Need.String()
	switch {
	case need == "":
		need = "any key"
	case r.Need.Any():
		need = "any of " + need
	}
	if r.Optional {
		need += ", optional"
	}
	if r.Cost > 1 {
		need += fmt.Sprintf(", costs %d", r.Cost)
	}
	return need
}

// parameter is a piece of a path that stands for others. A colon or star after a
// letter or digit is none: it belongs to a name such as "things:batch".
var parameter = regexp.MustCompile(`\{[^}]*\}|\B[:*+][^/]*`)

// request returns a request that the route serves.
func request(route string) (method, path string) {
	method, path, ok := strings.Cut(route, " ")
	if !ok {
		method, path = http.MethodGet, route
	}
	host, path, _ := strings.Cut(strings.TrimSpace(path), "/")
	path = "/" + strings.ReplaceAll(path, "{$}", "")
	if path = parameter.ReplaceAllString(path, "x"); host != "" {
		path = "http://" + host + path
	}
	return method, path
}
