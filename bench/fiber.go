package main

import (
	"fmt"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/extractors"
	"github.com/gofiber/fiber/v3/middleware/keyauth"
	"github.com/gofiber/fiber/v3/middleware/limiter"
	"github.com/valyala/fasthttp"
)

const fiberModule = "github.com/gofiber/fiber/v3"

// fiberOps drives an app as fasthttp's server would: one context for each
// goroutine, whose Authorization line is set and whose response is reset each
// time. It is not net/http: compare with fiber-bare.
func fiberOps(app *fiber.App, k *keyset) func() op {
	handler := app.Handler()
	return func() op {
		c := new(fasthttp.RequestCtx)
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
		how: fmt.Sprintf("keyauth with the careful look-up as its Validator, two limiters of kind %T keyed by the key id (they set X-RateLimit headers), on fasthttp", kind),
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
						if !ok {
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
