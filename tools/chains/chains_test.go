package chains

import (
	"io"
	"log"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimw "github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	"github.com/labstack/echo/v5"
	echomw "github.com/labstack/echo/v5/middleware"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchecho"
	"github.com/wontopos/latchkey/middleware/latchgin"
)

// chain builds a server's handler: the framework's middleware, the guard inside
// it, and the handler inside the guard.
type chain struct {
	name  string
	build func(g *middleware.Guard, h http.Handler) http.Handler
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func gorillaRecovery(h http.Handler) http.Handler {
	return handlers.RecoveryHandler(handlers.RecoveryLogger(log.New(io.Discard, "", 0)))(h)
}

func ginChain(recovery gin.HandlerFunc, guarded http.Handler) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.Use(recovery)
	e.GET("/", gin.WrapH(guarded))
	return e
}

// latchginChain has the adapter's door in place of net/http's.
func latchginChain(recovery gin.HandlerFunc, g *middleware.Guard, h http.Handler) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.Use(gin.LoggerWithWriter(io.Discard), recovery)
	e.GET("/", latchgin.Require(g, middleware.AnyKey()), gin.WrapH(h))
	return e
}

func chiChain(guarded http.Handler, use ...func(http.Handler) http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(use...)
	r.Handle("/", guarded)
	return r
}

func echoChain(g *middleware.Guard, h http.Handler, use ...echo.MiddlewareFunc) http.Handler {
	e := echo.New()
	e.Logger = quiet()
	e.Use(use...)
	e.GET("/", echo.WrapHandler(h), echo.WrapMiddleware(g.Require(middleware.AnyKey())))
	return e
}

// latchechoChain has the adapter's door in place of net/http's.
func latchechoChain(g *middleware.Guard, h http.Handler, use ...echo.MiddlewareFunc) http.Handler {
	e := echo.New()
	e.Logger = quiet()
	e.Use(use...)
	e.GET("/", echo.WrapHandler(h), latchecho.Require(g, middleware.AnyKey()))
	return e
}

// echoSwallows recovers whatever comes, as echo's own did before version 5.
func echoSwallows(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		defer func() { _ = recover() }()
		return next(c)
	}
}

var chains = []chain{
	{"net/http alone", func(g *middleware.Guard, h http.Handler) http.Handler { return g.Require(middleware.AnyKey())(h) }},
	{"gorilla RecoveryHandler", func(g *middleware.Guard, h http.Handler) http.Handler {
		return gorillaRecovery(g.Require(middleware.AnyKey())(h))
	}},
	{"gorilla CompressHandler", func(g *middleware.Guard, h http.Handler) http.Handler {
		return handlers.CompressHandler(g.Require(middleware.AnyKey())(h))
	}},
	{"gorilla RecoveryHandler, CompressHandler", func(g *middleware.Guard, h http.Handler) http.Handler {
		return gorillaRecovery(handlers.CompressHandler(g.Require(middleware.AnyKey())(h)))
	}},
	{"gorilla LoggingHandler, CompressHandler, RecoveryHandler", func(g *middleware.Guard, h http.Handler) http.Handler {
		return handlers.LoggingHandler(io.Discard, handlers.CompressHandler(gorillaRecovery(g.Require(middleware.AnyKey())(h))))
	}},
	{"gorilla RecoveryHandler around, CompressHandler inside", func(g *middleware.Guard, h http.Handler) http.Handler {
		return gorillaRecovery(g.Require(middleware.AnyKey())(handlers.CompressHandler(h)))
	}},
	{"gin Recovery", func(g *middleware.Guard, h http.Handler) http.Handler {
		return ginChain(gin.RecoveryWithWriter(io.Discard), g.Require(middleware.AnyKey())(h))
	}},
	{"gin CustomRecovery", func(g *middleware.Guard, h http.Handler) http.Handler {
		return ginChain(gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, _ any) {
			c.String(http.StatusInternalServerError, "sorry")
		}), g.Require(middleware.AnyKey())(h))
	}},
	{"gin Recovery, gorilla CompressHandler", func(g *middleware.Guard, h http.Handler) http.Handler {
		return ginChain(gin.RecoveryWithWriter(io.Discard), handlers.CompressHandler(g.Require(middleware.AnyKey())(h)))
	}},
	{"gin Recovery, latchgin", func(g *middleware.Guard, h http.Handler) http.Handler {
		return latchginChain(gin.RecoveryWithWriter(io.Discard), g, h)
	}},
	{"gin CustomRecovery, latchgin", func(g *middleware.Guard, h http.Handler) http.Handler {
		return latchginChain(gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, _ any) {
			c.String(http.StatusOK, "fine")
		}), g, h)
	}},
	{"chi Recoverer", func(g *middleware.Guard, h http.Handler) http.Handler {
		return chiChain(g.Require(middleware.AnyKey())(h), chimw.RequestID, chimw.Recoverer)
	}},
	{"chi Compress", func(g *middleware.Guard, h http.Handler) http.Handler {
		return chiChain(g.Require(middleware.AnyKey())(h), gorillaRecovery, chimw.Compress(5, "text/plain", "application/problem+json"))
	}},
	{"chi Timeout", func(g *middleware.Guard, h http.Handler) http.Handler {
		return chiChain(g.Require(middleware.AnyKey())(h), gorillaRecovery, chimw.Timeout(patience))
	}},
	{"echo Recover", func(g *middleware.Guard, h http.Handler) http.Handler {
		return echoChain(g, h, echomw.Recover())
	}},
	{"echo, a recovery that swallows all", func(g *middleware.Guard, h http.Handler) http.Handler {
		return echoChain(g, h, echoSwallows)
	}},
	{"echo Gzip", func(g *middleware.Guard, h http.Handler) http.Handler {
		return echoChain(g, h, echoSwallows, echomw.Gzip())
	}},
	{"echo Recover, latchecho", func(g *middleware.Guard, h http.Handler) http.Handler {
		return latchechoChain(g, h, echomw.RequestLogger(), echomw.Recover())
	}},
	{"echo Gzip, a recovery that swallows all, latchecho", func(g *middleware.Guard, h http.Handler) http.Handler {
		return latchechoChain(g, h, echomw.Gzip(), echoSwallows)
	}},
}
