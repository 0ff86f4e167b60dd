package middlewaretest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Harness is what the suite needs to know about an adapter.
type Harness struct {
	// Start serves the routes, each guarded by g as it says, on a listener of its
	// own. The server stops with the test.
	Start func(t *testing.T, g *middleware.Guard, routes []Route) Server
	// Lacks lists what the framework cannot do. The suite tries each item, and it
	// is a failure if the framework can do it after all. An adapter on net/http
	// cannot lack Cut, Uploads and Ends: [middleware.Door] has them.
	Lacks []Ability
}

// Server is a running server.
type Server struct {
	// URL is its base URL, for example http://127.0.0.1:4711.
	URL string
	// Client reaches it; nil means one with the settings of http.DefaultTransport.
	// For HTTP/2 it must be a client that speaks it.
	Client *http.Client
}

// Route is a route that the suite asks for.
type Route struct {
	// Name identifies the handler, for frameworks that must reimplement it. See
	// the list of routes in this package's source.
	Name string
	// Method and Path are matched exactly.
	Method, Path string
	// Public routes are not guarded; Route is then zero.
	Public bool
	// Route is what the guard requires.
	Route middleware.Route
	// Handler is the handler, for frameworks on net/http.
	Handler func(http.ResponseWriter, *http.Request, *apikey.Principal)
}

// Ability is something that not every framework can do.
type Ability string

// The abilities.
const (
	// Streaming: what a handler flushes reaches the client before it returns.
	Streaming Ability = "streaming"
	// Cut: a request in flight ends when its key does. Without it the rules
	// about new requests still hold.
	Cut Ability = "cut"
	// Uploads: a handler that waits for the body is woken by the cut.
	Uploads Ability = "uploads"
	// Hijack: a handler can take the connection over.
	Hijack Ability = "hijack"
	// Informational: a handler can send 103 before its response.
	Informational Ability = "informational"
	// Ends: the guard is told the route and how the request ended; see
	// [middleware.Call.End].
	Ends Ability = "ends"
	// HTTP1: requests can be written to a plain TCP connection byte by byte.
	HTTP1 Ability = "http1"
)

func (h Harness) needs(t *testing.T, needed ...Ability) {
	t.Helper()
	for _, a := range needed {
		if slices.Contains(h.Lacks, a) {
			t.Attr("lacks", string(a))
			t.Skipf("the framework lacks: %s", a)
		}
	}
}
