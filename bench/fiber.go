package main

import (
	"fmt"
	"net"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/extractors"
	"github.com/gofiber/fiber/v3/middleware/keyauth"
	"github.com/gofiber/fiber/v3/middleware/limiter"
	"github.com/valyala/fasthttp"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchfiber"
)

const fiberModule = "github.com/gofiber/fiber/v3"

// fiberOps drives an app as fasthttp's server would: one context for each
// goroutine, whose Authorization line is set and whose response is reset each
// time, with a connection that nobody reads. It is not net/http: compare with
// fiber-bare.
func fiberOps(app *fiber.App, k *keyset) func() op {
	handler := app.Handler()
	return func() op {
		c := new(fasthttp.RequestCtx)
		c.Init2(idleConn{}, nil, false)
		c.Request.SetRequestURI("/things")
		c.Request.Header.SetMethod(fasthttp.MethodGet)
		c.Request.Header.SetHost("api.example.com")
		c.Request.Header.Set("Accept", "application/json")
		c.Request.Header.SetUserAgent("bench/1")
		return func(token uint32) int {
			c.Request.Header.Set("Authorization", k.auth[token])
			c.Response.Reset()
			c.ResetUserValues()
			handler(c)
			return c.Response.StatusCode()
		}
	}
}

// idleConn is a connection of TCP, as far as its addresses go.
type idleConn struct{ net.Conn }

func (idleConn) LocalAddr() net.Addr  { return localAddr }
func (idleConn) RemoteAddr() net.Addr { return remoteAddr }

var (
	localAddr  = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80}
	remoteAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234}
)

func fiberBare() peer {
	return peer{
		name: "fiber-bare", module: fiberModule, how: "one route, no middleware, on fasthttp", does: admitAll,
		open: func(k *keyset) (func() op, func(), error) {
			app := fiber.New()
			app.Get("/things", func(c fiber.Ctx) error { return c.Send(okBody) })
			return fiberOps(app, k), nothing, nil
		},
	}
}

// fiberKeyAuth takes the kind of fiber's limiter. The fixed window, its
// default, admits up to twice the limit: see the accuracy suite.
func fiberKeyAuth(name string, kind limiter.Handler) peer {
	return peer{
		name: "fiber-keyauth+2" + name, module: fiberModule,
		how: fmt.Sprintf("keyauth with the careful look-up and a scope as its Validator, two limiters of kind %T keyed by the key id (they set X-RateLimit headers), on fasthttp", kind),
		open: func(k *keyset) (func() op, func(), error) {
			keys, app := newCarefulKeys(k), fiber.New()
			id := func(c fiber.Ctx) string {
				a, _ := c.Locals(accountKey{}).(*account)
				return a.id
			}
			app.Use(
				keyauth.New(keyauth.Config{
					Extractor: extractors.FromAuthHeader("Bearer"),
					Validator: func(c fiber.Ctx, key string) (bool, error) {
						a, ok := keys.find(key)
						if !ok || !a.may(need) {
							return false, keyauth.ErrMissingOrMalformedAPIKey
						}
						c.Locals(accountKey{}, a)
						return true, nil
					},
				}),
				fiberWindow(kind, int(k.budget.minute), time.Minute, id),
				fiberWindow(kind, int(k.budget.day), 24*time.Hour, id),
			)
			app.Get("/things", func(c fiber.Ctx) error {
				if _, ok := c.Locals(accountKey{}).(*account); !ok {
					return fiber.ErrInternalServerError
				}
				return c.Send(okBody)
			})
			return fiberOps(app, k), nothing, nil
		},
	}
}

func fiberWindow(kind limiter.Handler, n int, window time.Duration, id func(fiber.Ctx) string) fiber.Handler {
	return limiter.New(limiter.Config{Max: n, Expiration: window, KeyGenerator: id, LimiterMiddleware: kind})
}

func latchFiber() peer {
	return guarded("latchfiber", fiberModule, "latchfiber.Require, on fasthttp", func(k *keyset, g *middleware.Guard) func() op {
		app := fiber.New()
		app.Get("/things", latchfiber.Require(g, middleware.AllOf(need)), func(c fiber.Ctx) error {
			if _, ok := latchfiber.Principal(c); !ok {
				return fiber.ErrInternalServerError
			}
			return c.Send(okBody)
		})
		return fiberOps(app, k)
	})
}
