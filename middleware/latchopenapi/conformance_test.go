package latchopenapi_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchopenapi"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

func TestConformanceHTTP1(t *testing.T) {
	middlewaretest.Run(t, middlewaretest.Harness{Start: start((*httptest.Server).Start)})
}

func TestConformanceHTTP2(t *testing.T) {
	middlewaretest.Run(t, middlewaretest.Harness{
		Lacks: []middlewaretest.Ability{middlewaretest.Hijack, middlewaretest.HTTP1},
		Start: start(func(s *httptest.Server) {
			s.EnableHTTP2 = true
			s.StartTLS()
		}),
	})
}

// start serves the routes behind a document that says what they require.
func start(how func(*httptest.Server)) func(*testing.T, *middleware.Guard, []middlewaretest.Route) middlewaretest.Server {
	return func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
		t.Helper()
		paths := object{}
		for _, r := range routes {
			required := security{}
			switch scopes := strings.Fields(r.Route.Need.String()); {
			case r.Public:
			case r.Route.Need.Any():
				for _, s := range scopes {
					required = append(required, map[string][]string{"key": {s}})
				}
			default:
				required = security{{"key": scopes}}
			}
			if r.Route.Optional {
				required = append(required, map[string][]string{})
			}
			paths[r.Path] = object{strings.ToLower(r.Method): object{"security": required, "x-latchkey-cost": r.Route.Cost}}
		}
		wrap, err := latchopenapi.New(documentOf(t, paths, nil), guards{"key": g}, nil)
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		for _, r := range routes {
			mux.Handle(r.Method+" "+r.Path, wrap(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				var p *apikey.Principal
				if latchopenapi.Admitted(req.Context()) == nil {
					p, _ = middleware.PrincipalFrom(req.Context())
				}
				r.Handler(w, req, p)
			})))
		}
		s := httptest.NewUnstartedServer(mux)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		how(s)
		t.Cleanup(func() {
			s.CloseClientConnections()
			s.Close()
		})
		return middlewaretest.Server{URL: s.URL, Client: s.Client()}
	}
}
