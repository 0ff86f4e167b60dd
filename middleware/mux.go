package middleware

import (
	"net/http"

	"github.com/wontopos/latchkey/apikey"
)

// Mux is an [http.ServeMux] for guarded routes: no route can be added without
// saying who may use it. Routes open to everybody are added with Public.
// Patterns are those of ServeMux; like its methods, all methods panic on a
// mistake. Add all routes before the Mux serves.
//
// A path without a route is answered with 404, and the key is not looked at.
type Mux struct {
	guard  *Guard
	mux    http.ServeMux
	routes []mounted
}

// Mux returns an empty Mux.
func (g *Guard) Mux() *Mux { return &Mux{guard: g} }

// Handle adds a route for keys that meet need. The handler finds the principal
// with [PrincipalFrom].
func (m *Mux) Handle(pattern string, need apikey.Requirement, h http.Handler) {
	m.Route(pattern, Route{Need: need}, h)
}

// HandleFunc adds a route for keys that meet need. Its handler takes the principal
// as an argument: it cannot be mounted where no key is asked for, and has no
// missing principal to think of. The principal is nil only for a CORS preflight
// that was let through.
func (m *Mux) HandleFunc(pattern string, need apikey.Requirement, h func(http.ResponseWriter, *http.Request, *apikey.Principal)) {
	d := m.guard.Door(Route{Need: need})
	m.mount(pattern, &d.route, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.Serve(w, r, h) }))
}

// Route adds a route with a cost, or an optional key.
func (m *Mux) Route(pattern string, r Route, h http.Handler) {
	d := m.guard.Door(r)
	m.mount(pattern, &d.route, d.Wrap(h))
}

// Public adds a route that everybody may use: no key is looked at.
func (m *Mux) Public(pattern string, h http.Handler) { m.mount(pattern, nil, h) }

func (m *Mux) mount(pattern string, r *Route, h http.Handler) {
	m.mux.Handle(pattern, h)
	m.routes = append(m.routes, mounted{pattern, r})
}

func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }
