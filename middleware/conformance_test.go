package middleware_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

// http1 and http2 are net/http, which all other adapters are compared with.
var (
	http1 = middlewaretest.Harness{Start: func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
		s := start(t, g, routes, (*httptest.Server).Start)
		return middlewaretest.Server{URL: s.URL}
	}}
	http2 = middlewaretest.Harness{
		Lacks: []middlewaretest.Ability{middlewaretest.Hijack, middlewaretest.HTTP1},
		Start: func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
			s := start(t, g, routes, func(s *httptest.Server) {
				s.EnableHTTP2 = true
				s.StartTLS()
			})
			return middlewaretest.Server{URL: s.URL, Client: s.Client()}
		},
	}
)

func TestConformanceHTTP1(t *testing.T) { middlewaretest.Run(t, http1) }
func TestConformanceHTTP2(t *testing.T) { middlewaretest.Run(t, http2) }

func TestTransportHTTP1(t *testing.T) { middlewaretest.RunTransport(t, middlewaretest.HTTP(http1)) }
func TestTransportHTTP2(t *testing.T) { middlewaretest.RunTransport(t, middlewaretest.HTTP(http2)) }

func start(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route, how func(*httptest.Server)) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	for _, r := range routes {
		h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.Handler(w, req, nil) }))
		if !r.Public {
			door := g.Door(r.Route)
			h = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { door.Serve(w, req, r.Handler) })
		}
		mux.Handle(r.Method+" "+r.Path, h)
	}
	s := httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	how(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}
