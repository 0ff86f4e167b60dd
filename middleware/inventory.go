package middleware

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// inspection is the context of a request that asks what its doors require.
type inspection struct {
	context.Context
	guard *Guard
	found *Route
}

func (i *inspection) Value(key any) any {
	if k, ok := key.(guardKey); ok && k.Guard == i.guard {
		return i
	}
	return i.Context.Value(key)
}

// RouteOf returns what the first door of this Guard that r comes to in h requires.
// It decides nothing, and what is behind the door does not run; of nested doors it
// returns the outermost. False means that r came to no door: its route is not
// guarded, and its handler has run. It is for tests: see CheckRoutes of package
// latchkeytest. A door on any transport is found that is asked with a context made
// from the request's.
func (g *Guard) RouteOf(h http.Handler, r *http.Request) (Route, bool) {
	i := &inspection{Context: r.Context(), guard: g}
	h.ServeHTTP(&discard{header: http.Header{}}, r.WithContext(i))
	if i.found == nil {
		return Route{}, false
	}
	return *i.found, true
}

// discard is a ResponseWriter that writes nowhere.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// Routes yields the pattern of each route of m with what it requires, in the order
// in which they were added. The Route of a public one is nil.
func (m *Mux) Routes() iter.Seq2[string, *Route] {
	return func(yield func(string, *Route) bool) {
		for _, r := range m.routes {
			if !yield(r.pattern, r.route) {
				return
			}
		}
	}
}

type mounted struct {
	pattern string
	route   *Route // nil: public
}

// mustBeKnown panics if a route needs a scope that no key can have, because the
// service's catalogue does not offer it.
func (g *Guard) mustBeKnown(need apikey.Requirement) {
	catalogue := g.keys.Scopes()
	if len(catalogue) == 0 {
		return
	}
	offered := make([]string, len(catalogue))
	for i, s := range catalogue {
		offered[i] = s.Name
	}
	for _, scope := range strings.Fields(need.String()) {
		if q, err := apikey.AllOf(scope); err == nil && !q.MetBy(offered) {
			panic(fmt.Sprintf("middleware: Route.Need: no key can have the scope %q: correct it, or add it to latchkey.Options.Scopes, which offers %s",
				scope, strings.Join(offered, ", ")))
		}
	}
}
