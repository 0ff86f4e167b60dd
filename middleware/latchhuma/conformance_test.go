package latchhuma_test

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humabunrouter"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/danielgtaylor/huma/v2/adapters/humaflow"
	"github.com/danielgtaylor/huma/v2/adapters/humaflow/flow"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/adapters/humahttprouter"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gofiber/fiber/v2"
	"github.com/gorilla/mux"
	"github.com/julienschmidt/httprouter"
	"github.com/labstack/echo/v4"
	"github.com/uptrace/bunrouter"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchhuma"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

type (
	guards   = map[string]*middleware.Guard
	security = []map[string][]string
)

func config() huma.Config { return huma.DefaultConfig("Test", "1.0.0") }

// native are the adapters on net/http, which are all but humafiber.
var native = map[string]func() (http.Handler, huma.API){
	"humago":         func() (http.Handler, huma.API) { m := http.NewServeMux(); return m, humago.New(m, config()) },
	"humachi":        func() (http.Handler, huma.API) { r := chi.NewMux(); return r, humachi.New(r, config()) },
	"humamux":        func() (http.Handler, huma.API) { r := mux.NewRouter(); return r, humamux.New(r, config()) },
	"humaflow":       func() (http.Handler, huma.API) { m := flow.New(); return m, humaflow.New(m, config()) },
	"humahttprouter": func() (http.Handler, huma.API) { r := httprouter.New(); return r, humahttprouter.New(r, config()) },
	"humabunrouter":  func() (http.Handler, huma.API) { r := bunrouter.New(); return r, humabunrouter.New(r, config()) },
	"humaecho":       func() (http.Handler, huma.API) { e := echo.New(); return e, humaecho.New(e, config()) },
	"humagin": func() (http.Handler, huma.API) {
		gin.SetMode(gin.ReleaseMode)
		e := gin.New()
		return e, humagin.New(e, config())
	},
}

func TestConformanceHTTP1(t *testing.T) {
	for name, newAPI := range native {
		t.Run(name, func(t *testing.T) {
			middlewaretest.Run(t, middlewaretest.Harness{Start: start(newAPI, (*httptest.Server).Start)})
		})
	}
}

func TestTransport(t *testing.T) {
	middlewaretest.RunTransport(t, middlewaretest.HTTP(middlewaretest.Harness{Start: start(native["humago"], (*httptest.Server).Start)}))
}

func TestConformanceHTTP2(t *testing.T) {
	for _, name := range []string{"humago", "humagin"} { // which has its own request, and which has not
		t.Run(name, func(t *testing.T) {
			middlewaretest.Run(t, middlewaretest.Harness{
				Lacks: []middlewaretest.Ability{middlewaretest.Hijack, middlewaretest.HTTP1},
				Start: start(native[name], func(s *httptest.Server) {
					s.EnableHTTP2 = true
					s.StartTLS()
				}),
			})
		})
	}
}

func TestConformanceFiber(t *testing.T) {
	middlewaretest.Run(t, middlewaretest.Harness{
		Lacks: []middlewaretest.Ability{
			middlewaretest.Streaming, middlewaretest.Uploads, middlewaretest.Hijack, middlewaretest.Informational,
		},
		Start: func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
			app := fiber.New(fiber.Config{DisableStartupMessage: true})
			register(latchhuma.New(humafiber.New(app, config()), guards{"key": g}), routes)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- app.Listener(l) }()
			t.Cleanup(func() {
				_ = app.Shutdown()
				<-ended
			})
			return middlewaretest.Server{URL: "http://" + l.Addr().String()}
		},
	})
}

func start(newAPI func() (http.Handler, huma.API), how func(*httptest.Server)) func(*testing.T, *middleware.Guard, []middlewaretest.Route) middlewaretest.Server {
	return func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
		t.Helper()
		h, api := newAPI()
		register(latchhuma.New(api, guards{"key": g}), routes)
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		how(s)
		t.Cleanup(func() {
			s.CloseClientConnections()
			s.Close()
		})
		return middlewaretest.Server{URL: s.URL, Client: s.Client()}
	}
}

func register(api huma.API, routes []middlewaretest.Route) {
	for _, r := range routes {
		op := huma.Operation{Method: r.Method, Path: r.Path, Security: latchhuma.Public}
		if !r.Public {
			op.Extensions = map[string]any{"x-latchkey-cost": int(r.Route.Cost)}
			scopes := strings.Fields(r.Route.Need.String())
			op.Security = security{{"key": scopes}}
			if r.Route.Need.Any() {
				op.Security = security{{"key": scopes[:1]}, {"key": scopes[1:]}}
			}
			if r.Route.Optional {
				op.Security = append(op.Security, map[string][]string{})
			}
		}
		api.Adapter().Handle(&op, func(ctx huma.Context) {
			req, w := latchhuma.Unwrap(ctx)
			if w == nil {
				w = &writer{ctx, make(http.Header), false}
			}
			p, _ := middleware.PrincipalFrom(ctx.Context())
			r.Handler(w, req, p)
		})
	}
}

// writer lets handlers of net/http answer through a context.
type writer struct {
	ctx    huma.Context
	header http.Header
	begun  bool
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	w.begun = true
	for name, values := range w.header {
		for _, v := range values {
			w.ctx.AppendHeader(name, v)
		}
	}
	w.ctx.SetStatus(status)
}

func (w *writer) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(200)
	}
	return w.ctx.BodyWriter().Write(p)
}
