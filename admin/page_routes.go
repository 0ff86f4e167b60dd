package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// routesBody lists the routes of the API, or those for which a key may need a scope.
type routesBody struct {
	Scope string // as it is granted: "things:*" stands for "things:read", too
	Rows  []apiRoute
}

// apiRoute is a route of the API, with what it requires of a key.
type apiRoute struct {
	Pattern string
	Key     string   // what kind of key, in words; empty if Scopes say it
	Of      string   // "any of", where not all of the scopes are needed
	Scopes  []string // that a key needs
	Notes   []string
}

// pageRoutes shows operators what the routes of the API require.
func (c *call) pageRoutes() error {
	q := c.params("scope")
	if err := q.err(); err != nil {
		return err
	}
	b := routesBody{Scope: q.text("scope")}
	granted := func(scope string) bool { return apikey.Scope{Name: scope}.GrantedBy(b.Scope) }
	if c.h.o.Routes != nil {
		for pattern, route := range c.h.o.Routes {
			row := newAPIRoute(pattern, route)
			if b.Scope == "" || slices.ContainsFunc(row.Scopes, granted) {
				b.Rows = append(b.Rows, row)
			}
		}
	}
	slices.SortStableFunc(b.Rows, func(a, b apiRoute) int {
		return cmp.Or(strings.Compare(pathOf(a.Pattern), pathOf(b.Pattern)), strings.Compare(a.Pattern, b.Pattern))
	})
	return c.page(http.StatusOK, "routes", "Routes", b)
}

// pathOf is a pattern without its method.
func pathOf(pattern string) string { return pattern[strings.IndexByte(pattern, ' ')+1:] }

func newAPIRoute(pattern string, r *middleware.Route) apiRoute {
	row := apiRoute{Pattern: pattern, Key: "none: public"}
	if r == nil {
		return row
	}
	row.Key, row.Scopes = "", strings.Fields(r.Need.String())
	spare := func(scope string) bool { // as where OneOf has alternatives
		return r.Need.MetBy(slices.DeleteFunc(slices.Clone(row.Scopes), func(s string) bool { return s == scope }))
	}
	switch {
	case len(row.Scopes) == 0:
		row.Key = "any"
	case r.Need.Any() && len(row.Scopes) > 1:
		row.Of = "any of"
	case slices.ContainsFunc(row.Scopes, spare):
		row.Of = "some of"
	}
	if r.Optional {
		row.Notes = append(row.Notes, "key optional")
	}
	if r.Others {
		row.Notes = append(row.Notes, "other credentials pass")
	}
	if r.Cost > 1 {
		row.Notes = append(row.Notes, "costs "+grouped(uint64(r.Cost)))
	}
	return row
}
