package middlewaretest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

// The whole test of an adapter: how to serve the routes that the suite asks
// for. This framework lacks nothing.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestConformance(t *testing.T)
		middlewaretest.Run(t, middlewaretest.Harness{
			Start: func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
				mux := http.NewServeMux()
				for _, r := range routes {
					if r.Public {
						mux.HandleFunc(r.Method+" "+r.Path, func(w http.ResponseWriter, req *http.Request) {
							var nobody *apikey.Principal
							r.Handler(w, req, nobody)
						})
						continue
					}
					door := g.Door(r.Route)
					mux.HandleFunc(r.Method+" "+r.Path, func(w http.ResponseWriter, req *http.Request) { door.Serve(w, req, r.Handler) })
				}
				s := httptest.NewServer(mux)
				t.Cleanup(s.Close)
				return middlewaretest.Server{URL: s.URL}
			},
		})
	}
	// Output:
}
