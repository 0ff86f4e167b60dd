package latchgin_test

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgin"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	os.Exit(m.Run())
}

// usual has what gin.Default has around every route.
func usual() *gin.Engine {
	e := gin.New()
	e.Use(gin.LoggerWithWriter(io.Discard), gin.RecoveryWithWriter(io.Discard))
	return e
}

// swallows recovers whatever comes, and answers as if nothing had happened.
func swallows() *gin.Engine {
	e := gin.New()
	e.Use(gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, _ any) { c.String(200, "fine") }))
	return e
}

func TestConformanceHTTP1(t *testing.T) {
	for name, engine := range map[string]func() *gin.Engine{"alone": func() *gin.Engine { return gin.New() }, "usual": usual, "swallows panics": swallows} {
		t.Run(name, func(t *testing.T) {
			middlewaretest.Run(t, middlewaretest.Harness{Start: start(engine, (*httptest.Server).Start)})
		})
	}
}

func TestConformanceHTTP2(t *testing.T) {
	middlewaretest.Run(t, middlewaretest.Harness{
		Lacks: []middlewaretest.Ability{
			middlewaretest.Hijack, // a stream of HTTP/2 has no connection of its own
			middlewaretest.HTTP1,  // this server is reached over TLS
		},
		Start: start(usual, func(s *httptest.Server) {
			s.EnableHTTP2 = true
			s.StartTLS()
		}),
	})
}

func TestTransport(t *testing.T) {
	middlewaretest.RunTransport(t, middlewaretest.HTTP(middlewaretest.Harness{Start: start(usual, (*httptest.Server).Start)}))
}

func start(engine func() *gin.Engine, how func(*httptest.Server)) func(*testing.T, *middleware.Guard, []middlewaretest.Route) middlewaretest.Server {
	return func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
		t.Helper()
		e := engine()
		for _, r := range routes {
			h := func(c *gin.Context) {
				p, _ := latchgin.Principal(c)
				r.Handler(c.Writer, c.Request, p)
			}
			if r.Public {
				e.Handle(r.Method, r.Path, h)
			} else {
				e.Handle(r.Method, r.Path, latchgin.Door(g.Door(r.Route)), h)
			}
		}
		s := httptest.NewUnstartedServer(e)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		how(s)
		t.Cleanup(func() {
			s.CloseClientConnections()
			s.Close()
		})
		return middlewaretest.Server{URL: s.URL, Client: s.Client()}
	}
}
