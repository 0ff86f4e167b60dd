package latchgin

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Require guards routes: a request needs a key that meets need. Handlers find
// its principal with [Principal].
//
//	r.GET("/v1/things", latchgin.Require(guard, middleware.AllOf("things:read")), listThings)
//
// Like [middleware.Guard.Door] it panics on the zero Requirement.
func Require(g *middleware.Guard, need apikey.Requirement) gin.HandlerFunc {
	return Door(g.Door(middleware.Route{Need: need}))
}

// Door guards routes with a door, which may have a cost or an optional key.
// Doors of one Guard may be nested, as a group's and a route's.
func Door(d *middleware.Door) gin.HandlerFunc {
	return func(c *gin.Context) {
		outer, original := c.Writer, c.Request
		if p := c.FullPath(); p != "" {
			original.Pattern = p
		}
		defer func() { c.Writer, c.Request = outer, original }()
		admitted := false
		code := d.Serve(outerWriter{outer}, original, func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
			admitted = true
			inner := &innerWriter{w, outer}
			c.Writer, c.Request = inner, r
			c.Next()
			inner.WriteHeaderNow() // of a handler that only set a status; gin would send it past the guard
		})
		if !admitted {
			c.Abort()
		}
		if code != apikey.OK { // refused, or cut before its answer
			_ = c.Error(code)
		}
	}
}

// Principal returns who the request acts for. False means that no guard
// admitted it with a key: the route is public, or its key is optional.
func Principal(c *gin.Context) (*apikey.Principal, bool) {
	return middleware.PrincipalFrom(c.Request.Context())
}
