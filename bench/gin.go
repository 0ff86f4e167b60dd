package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	ululelimiter "github.com/ulule/limiter/v3"
	ululegin "github.com/ulule/limiter/v3/drivers/middleware/gin"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgin"
)

const ginModule = "github.com/gin-gonic/gin"

// newGin returns an engine without the logger and the recovery of
// gin.Default, which no other contestant has either.
func newGin() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	return gin.New()
}

func ginBare() peer {
	return peer{
		name: "gin-bare", module: ginModule, how: "one route, no middleware, release mode", does: admitAll,
		open: func(k *keyset) (func() op, func(), error) {
			e := newGin()
			e.GET("/things", func(c *gin.Context) { c.Data(http.StatusOK, "text/plain", okBody) })
			return httpOps(e, k), nothing, nil
		},
	}
}

// ginHand is the middleware that gin's documentation shows for keys of one's
// own: gin has neither key authentication nor limits.
func ginHand() peer {
	return peer{
		name: "gin-hand", module: ginModule, does: verifyOnly,
		how: "a middleware function with the careful look-up, c.Set and c.AbortWithStatusJSON, release mode; no limits, gin has none",
		open: func(k *keyset) (func() op, func(), error) {
			keys, e := newCarefulKeys(k), newGin()
			e.Use(func(c *gin.Context) {
				token, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
				if !ok {
					c.AbortWithStatusJSON(http.StatusUnauthorized, gin.H{"error": "missing API key"})
					return
				}
				a, ok := keys.find(token)
				if !ok {
					c.AbortWithStatusJSON(http.StatusUnauthorized, gin.H{"error": "invalid API key"})
					return
				}
				c.Set("account", a)
			})
			e.GET("/things", func(c *gin.Context) {
				if _, ok := c.MustGet("account").(*account); !ok {
					c.AbortWithStatus(http.StatusInternalServerError)
					return
				}
				c.Data(http.StatusOK, "text/plain", okBody)
			})
			return httpOps(e, k), nothing, nil
		},
	}
}

// ginLimited is a hand-written check of keys and scopes, with limits behind it.
func ginLimited(name, module, how string, limits func(budget) []gin.HandlerFunc) peer {
	return peer{
		name: name, module: module, how: "a middleware function with the careful look-up and a scope; " + how,
		open: func(k *keyset) (func() op, func(), error) {
			keys, e := newCarefulKeys(k), newGin()
			e.Use(func(c *gin.Context) {
				a, status := keys.admit(c.GetHeader("Authorization"))
				if status != http.StatusOK {
					c.AbortWithStatusJSON(status, gin.H{"error": http.StatusText(status)})
					return
				}
				c.Set("account", a)
			})
			e.Use(limits(k.budget)...)
			e.GET("/things", func(c *gin.Context) {
				if ginAccount(c) == nil {
					c.AbortWithStatus(http.StatusInternalServerError)
					return
				}
				c.Data(http.StatusOK, "text/plain", okBody)
			})
			return httpOps(e, k), nothing, nil
		},
	}
}

func ginAccount(c *gin.Context) *account {
	a, _ := c.MustGet("account").(*account)
	return a
}

func ginRate() peer {
	return ginLimited("gin-hand+2rate", ginModule, "two x/time/rate limiters a key in a map behind a mutex", func(b budget) []gin.HandlerFunc {
		rates := newVisitors(b)
		return []gin.HandlerFunc{func(c *gin.Context) {
			if !rates.allow(ginAccount(c)) {
				c.AbortWithStatusJSON(http.StatusTooManyRequests, gin.H{"error": "rate limit exceeded"})
			}
		}}
	})
}

func ginUlule() peer {
	return ginLimited("gin-hand+2ulule", "github.com/ulule/limiter/v3", "two ulule limiters with its middleware for gin, keyed by the key id (they set X-RateLimit headers)", func(b budget) []gin.HandlerFunc {
		id := ululegin.WithKeyGetter(func(c *gin.Context) string { return ginAccount(c).id })
		of := func(n int64, period time.Duration) gin.HandlerFunc {
			return ululegin.NewMiddleware(ululelimiter.New(memory.NewStore(), ululelimiter.Rate{Period: period, Limit: n}), id)
		}
		return []gin.HandlerFunc{of(b.minute, time.Minute), of(b.day, day)}
	})
}

func latchGin() peer {
	return guarded("latchgin", ginModule, "latchgin.Require, release mode", func(k *keyset, g *middleware.Guard) func() op {
		e := newGin()
		e.GET("/things", latchgin.Require(g, middleware.AllOf(need)), func(c *gin.Context) {
			if _, ok := latchgin.Principal(c); !ok {
				c.AbortWithStatus(http.StatusInternalServerError)
				return
			}
			c.Data(http.StatusOK, "text/plain", okBody)
		})
		return httpOps(e, k)
	})
}
