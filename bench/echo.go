package main

import (
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	guard "github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchecho"
)

const echoModule = "github.com/labstack/echo/v5"

func newEcho() *echo.Echo {
	e := echo.New()
	e.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	return e
}

func echoBare() peer {
	return peer{
		name: "echo-bare", module: echoModule, how: "one route, no middleware", does: admitAll,
		open: func(k *keyset) (func() op, func(), error) {
			e := newEcho()
			e.GET("/things", func(c *echo.Context) error { return c.Blob(http.StatusOK, "text/plain", okBody) })
			return httpOps(e, k), nothing, nil
		},
	}
}

// echoStores are the two limiters as echo's documentation sets them up.
// Visitors of the daily one must outlive its default of three minutes.
func echoStores(b budget) (minute, day *middleware.RateLimiterMemoryStore) {
	return middleware.NewRateLimiterMemoryStoreWithConfig(middleware.RateLimiterMemoryStoreConfig{
			Rate: float64(b.minute) / 60, Burst: int(b.minute), ExpiresIn: 3 * time.Minute,
		}), middleware.NewRateLimiterMemoryStoreWithConfig(middleware.RateLimiterMemoryStoreConfig{
			Rate: float64(b.day) / (24 * 60 * 60), Burst: int(b.day), ExpiresIn: 24 * time.Hour,
		})
}

func echoKeyAuth() peer {
	return peer{
		name: "echo-keyauth+2limiters", module: echoModule,
		how: "KeyAuth with the careful look-up and a scope as its Validator, two RateLimiter with memory stores keyed by the key id",
		open: func(k *keyset) (func() op, func(), error) {
			keys, e := newCarefulKeys(k), newEcho()
			minute, day := echoStores(k.budget)
			id := func(c *echo.Context) (string, error) {
				a, err := echo.ContextGet[*account](c, "account")
				if err != nil {
					return "", err
				}
				return a.id, nil
			}
			e.Use(
				middleware.KeyAuth(func(c *echo.Context, key string, _ middleware.ExtractorSource) (bool, error) {
					a, ok := keys.find(key)
					if ok {
						c.Set("account", a)
					}
					return ok && a.may(need), nil
				}),
				middleware.RateLimiterWithConfig(middleware.RateLimiterConfig{Store: minute, IdentifierExtractor: id}),
				middleware.RateLimiterWithConfig(middleware.RateLimiterConfig{Store: day, IdentifierExtractor: id}),
			)
			e.GET("/things", func(c *echo.Context) error {
				if _, err := echo.ContextGet[*account](c, "account"); err != nil {
					return err
				}
				return c.Blob(http.StatusOK, "text/plain", okBody)
			})
			return httpOps(e, k), nothing, nil
		},
	}
}

func latchEcho() peer {
	return guarded("latchecho", echoModule, "latchecho.Require", func(k *keyset, g *guard.Guard) func() op {
		e := newEcho()
		e.GET("/things", func(c *echo.Context) error {
			if _, ok := latchecho.Principal(c); !ok {
				return echo.ErrInternalServerError
			}
			return c.Blob(http.StatusOK, "text/plain", okBody)
		}, latchecho.Require(g, guard.AllOf(need)))
		return httpOps(e, k)
	})
}
