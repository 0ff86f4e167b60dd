package admin_test

import (
	"iter"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// routesOf yields routes as Mux.Routes does, in this order.
func routesOf(of ...any) iter.Seq2[string, *middleware.Route] {
	return func(yield func(string, *middleware.Route) bool) {
		for i := 0; i < len(of); i += 2 {
			r, _ := of[i+1].(*middleware.Route)
			if !yield(of[i].(string), r) {
				return
			}
		}
	}
}

// TestRoutesAreShownToOperators: each with what it requires, by path. Customers
// get neither the page nor a link to it.
func TestRoutesAreShownToOperators(t *testing.T) {
	t.Parallel()
	pair, err := apikey.AllOf("orders:read", "billing:read")
	if err != nil {
		t.Fatal(err)
	}
	some, err := apikey.OneOf(pair, middleware.AllOf("orders:admin"))
	if err != nil {
		t.Fatal(err)
	}
	g := newRigWith(t, memstore.New(), signIn, admin.Options{Routes: routesOf(
		"POST /things", &middleware.Route{Need: middleware.AllOf("things:write", "things:read")},
		"GET /things", &middleware.Route{Need: middleware.AnyOf("things:read", "things:admin")},
		"GET /orders", &middleware.Route{Need: some},
		"GET /report", &middleware.Route{Need: middleware.AllOf("things:read"), Cost: 1200, Others: true},
		"GET /search", &middleware.Route{Need: middleware.AnyKey(), Optional: true},
		"/health", nil,
		"GET /<script>", &middleware.Route{Need: middleware.AnyKey()},
	)})
	for _, user := range []string{"operator", "op-reader"} {
		a := g.want(200, user, "GET", "/routes", "")
		_, table, _ := strings.Cut(text(a), "Route Key Notes ")
		for _, want := range []string{
			"GET /<script> any", "/health none: public", "GET /orders some of orders:read billing:read orders:admin",
			"GET /report things:read other credentials pass, costs 1,200", "GET /search any key optional",
			"GET /things any of things:read things:admin", "POST /things things:write things:read",
		} {
			rest, ok := strings.CutPrefix(table, want+" ")
			if !ok {
				t.Fatalf("%s is shown %q where it should say %q", user, table, want)
			}
			table = rest
		}
		if strings.Contains(a.body, "<script>") || !strings.Contains(a.body, `href="./routes"`) {
			t.Errorf("the page of %s:\n%s", user, a.body)
		}
	}
	for _, user := range []string{"owner", "owner-reader"} {
		g.want(403, user, "GET", "/routes", "")
		if a := g.want(200, user, "GET", "/", ""); strings.Contains(a.body, "routes") {
			t.Errorf("%s is shown a link to the routes:\n%s", user, a.body)
		}
	}
}

// TestAScopeLeadsToItsRoutes: on an operator's page of a key, also that of a scope
// which stands for others.
func TestAScopeLeadsToItsRoutes(t *testing.T) {
	t.Parallel()
	g := newRigWith(t, memstore.New(), signIn, admin.Options{Routes: routesOf(
		"GET /marketplace", &middleware.Route{Need: middleware.AnyOf("marketplace:read", "marketplace:admin")},
		"POST /marketplace", &middleware.Route{Need: middleware.AllOf("marketplace:write")},
		"GET /search", &middleware.Route{Need: middleware.AnyKey()},
		"/health", nil,
	)})
	k, _ := g.scoped("marketplace:*", "orders:read")
	if a := g.want(200, "operator", "GET", "/keys/"+k.ID, ""); !strings.Contains(a.body, `<a href="../routes?scope=marketplace%3a%2a"><code>marketplace:*</code></a>`) {
		t.Errorf("the scope is no link:\n%s", a.body)
	}
	if a := g.want(200, "owner", "GET", "/keys/"+k.ID, ""); strings.Contains(a.body, "routes") {
		t.Errorf("a customer is shown a link to the routes:\n%s", a.body)
	}
	for scope, want := range map[string]string{
		"marketplace%3a%2a": "Routes that need marketplace:* · Show all Route Key Notes GET /marketplace any of marketplace:read marketplace:admin POST /marketplace marketplace:write ",
		"marketplace:write": "Routes that need marketplace:write · Show all Route Key Notes POST /marketplace marketplace:write ",
		"orders:read":       "Routes that need orders:read · Show all No route needs this scope ",
	} {
		if a := g.want(200, "operator", "GET", "/routes?scope="+scope, ""); !strings.Contains(text(a), want) {
			t.Errorf("%s: the page says %q, want %q", scope, text(a), want)
		}
	}
}

func TestWithoutRoutesThereIsNoLinkToThem(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	if a := g.want(200, "operator", "GET", "/", ""); strings.Contains(a.body, "routes") {
		t.Errorf("the page has a link to routes that nobody listed:\n%s", a.body)
	}
	if a := g.want(200, "operator", "GET", "/routes", ""); !strings.Contains(a.body, "admin.Options.Routes") {
		t.Errorf("the page does not say how to list routes:\n%s", a.body)
	}
}
