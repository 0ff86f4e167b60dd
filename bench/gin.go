package main

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
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
