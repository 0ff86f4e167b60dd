package latchecho

import (
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Require guards routes: a request needs a key that meets need. Handlers find
// its principal with [Principal].
//
//	e.GET("/v1/things", listThings, latchecho.Require(guard, middleware.AllOf("things:read")))
//
// Like [middleware.Guard.Door] it panics on the zero Requirement.
func Require(g *middleware.Guard, need apikey.Requirement) echo.MiddlewareFunc {
	return Door(g.Door(middleware.Route{Need: need}))
}

// Door guards routes with a door, which may have a cost or an optional key.
// Doors of one Guard may be nested, as a group's and a route's.
func Door(d *middleware.Door) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) (err error) {
			outer, original := &writer{ResponseWriter: c.Response()}, c.Request()
			defer func() {
				c.SetRequest(original)
				c.SetResponse(outer.afterwards(err))
			}()
			code := d.Serve(outer, original, func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
				response := echo.NewResponse(w, c.Logger())
				c.SetRequest(r)
				c.SetResponse(&writer{ResponseWriter: response})
				if err = next(c); err != nil && !response.Committed {
					c.Echo().HTTPErrorHandler(c, err) // outside, it would answer past the guard
				}
			})
			if code != apikey.OK { // refused, or cut before its answer
				info := code.Info()
				err = echo.NewHTTPError(info.Status, info.Title).Wrap(code)
			}
			return err
		}
	}
}

// Principal returns who the request acts for. False means that no guard
// admitted it with a key: the route is public, or its key is optional.
func Principal(c *echo.Context) (*apikey.Principal, bool) {
	return middleware.PrincipalFrom(c.Request().Context())
}
