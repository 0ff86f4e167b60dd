package latchecho_test

import (
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v5"
	echomw "github.com/labstack/echo/v5/middleware"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchecho"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

func alone() *echo.Echo {
	e := echo.New()
	e.Logger = slog.New(slog.DiscardHandler)
	return e
}

// usual has what most programs have around every route.
func usual() *echo.Echo {
	e := alone()
	e.Use(echomw.RequestLogger(), echomw.Recover())
	return e
}

// swallows recovers whatever comes, and answers as if nothing had happened.
func swallows() *echo.Echo {
	e := alone()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) (err error) {
			defer func() {
				if recover() != nil {
					err = c.String(200, "fine")
				}
			}()
			return next(c)
		}
	})
	return e
}

func TestConformanceHTTP1(t *testing.T) {
	for name, engine := range map[string]func() *echo.Echo{"alone": alone, "usual": usual, "swallows panics": swallows} {
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

func start(engine func() *echo.Echo, how func(*httptest.Server)) func(*testing.T, *middleware.Guard, []middlewaretest.Route) middlewaretest.Server {
	return func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
		t.Helper()
		e := engine()
		for _, r := range routes {
			h := func(c *echo.Context) error {
				if r.Name == "fail" {
					return echo.ErrNotFound
				}
				p, _ := latchecho.Principal(c)
				r.Handler(c.Response(), c.Request(), p)
				return nil
			}
			if r.Public {
				e.Add(r.Method, r.Path, h)
			} else {
				e.Add(r.Method, r.Path, h, latchecho.Door(g.Door(r.Route)))
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
