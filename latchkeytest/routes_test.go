package latchkeytest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
)

// said collects what a check says in place of failing the test.
type said struct {
	testing.TB
	lines []string
	log   string
}

func (s *said) Helper()                   {}
func (s *said) Errorf(f string, a ...any) { s.lines = append(s.lines, fmt.Sprintf(f, a...)) }
func (s *said) Error(a ...any)            { s.lines = append(s.lines, fmt.Sprint(a...)) }
func (s *said) Logf(f string, a ...any)   { s.log += fmt.Sprintf(f, a...) }

func TestCheckRoutes(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux := guard.Mux()
	mux.Handle("GET /things/{id}", middleware.AllOf("things:read"), ok)
	mux.Handle("POST api.example.com/files/{rest...}", middleware.AnyOf("files:write", "files:admin"), ok)
	mux.Route("GET /{$}", middleware.Route{Need: middleware.AnyKey(), Cost: 10, Optional: true}, ok)
	mux.Public("GET /health", ok)
	mux.Public("GET /forgotten", ok)
	mux.Public("GET /panics", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no database") }))
	var routes []string
	for pattern := range mux.Routes() {
		routes = append(routes, pattern)
	}
	var s said
	s.TB = t
	latchkeytest.CheckRoutes(&s, guard, mux, append(routes, "GET /nowhere"), "GET /health", "GET /things/{id}", "GET /misspelt")
	for _, want := range []string{
		`"GET /misspelt" is said to be public and is not among the routes`,
		"GET /things/{id} is said to be public, and is guarded",
		"GET /forgotten is not guarded",
		"GET /panics is not guarded: its handler ran, and panicked: no database",
		"GET /nowhere comes to no door: GET /nowhere is answered with 404",
	} {
		found := false
		for _, line := range s.lines {
			found = found || strings.Contains(line, want)
		}
		if !found {
			t.Errorf("does not say %q:\n%s", want, strings.Join(s.lines, "\n"))
		}
	}
	if len(s.lines) != 5 {
		t.Errorf("%d complaints, want 5:\n%s", len(s.lines), strings.Join(s.lines, "\n"))
	}
	for _, want := range []string{"any of files:write files:admin", "any key, optional, costs 10", "public"} {
		if !strings.Contains(s.log, want) {
			t.Errorf("the table lacks %q:%s", want, s.log)
		}
	}
	s.lines = nil
	if latchkeytest.CheckRoutes(&s, guard, mux, nil); len(s.lines) != 1 {
		t.Errorf("without routes it says %q", s.lines)
	}
}

func TestRoutesAsRoutersWriteThem(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	saw := ""
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { saw = r.Method + " " + r.Host + r.URL.Path })
	for route, want := range map[string]string{
		"/things":                      "GET example.com/things",
		"DELETE /things/:id/parts/*":   "DELETE example.com/things/x/parts/x",
		"GET /a/{b}/c/{d...}":          "GET example.com/a/x/c/x",
		"PUT api.example.com/a/{b}":    "PUT api.example.com/a/x",
		"GET /users/{name:[a-z]+}/{$}": "GET example.com/users/x/",
		"GET /v1/things:batch/{id}":    "GET example.com/v1/things:batch/x",
	} {
		s := said{TB: t}
		latchkeytest.CheckRoutes(&s, guard, h, []string{route}, route)
		if saw != want {
			t.Errorf("%s is asked as %s, want %s", route, saw, want)
		}
	}
}
