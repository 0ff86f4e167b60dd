// Package latchgin guards the routes of gin with API keys.
//
//	r := gin.Default()
//	r.GET("/v1/things", latchgin.Require(guard, middleware.AllOf("things:read")), func(c *gin.Context) {
//		p, _ := latchgin.Principal(c)
//		c.JSON(http.StatusOK, thingsOf(p.Owner()))
//	})
//
// A door decides exactly as one of package middleware does, for a route, a
// group or a whole engine. Inside it c.Request has the context that ends with
// the key, and c.Writer is the guard's; behind it both are gin's again.
//
// # Refusals
//
// The guard answers a refused request with its problem document, or with
// [middleware.Options.ErrorHandler]. No handler after the door runs, and
// c.Errors gets the code, such as [apikey.InsufficientScope], also where the key
// ended while the request was being served, as [apikey.RevokedKey]. Middleware that
// renders c.Errors must leave a response alone that c.Writer.Written says was
// answered.
//
// # Requests in flight
//
// They end as package middleware says, also behind gin's Recovery and inside
// c.Stream. Handlers should wait for c.Request.Context(): gin's own c.Done is nil
// unless the engine's ContextWithFallback is set.
//
// Middleware around the door that replaces c.Writer must give its writer an
// Unwrap method, or stand inside the door: otherwise the guard cannot reach the
// connection, and says so in its log. Engine.HandleContext puts gin's own writer
// in place of the guard's, so it must not be called inside a door. As everywhere
// in gin, a goroutine that outlives its handler must not keep c or c.Writer.
//
// # Keys in gin's log
//
// gin's Recovery logs the header of a request whose connection broke, which
// includes one that was cut, and masks Authorization alone. If keys come in
// another field, set [middleware.Options.StripCredential] and put Recovery inside
// the door.
//
// # Differences from gin without a door
//
//   - c.Writer.WriteHeader sends 1xx at once: 103 needs no other way.
//   - c.Writer.Hijack is an error over HTTP/2, not a panic.
//   - What a handler sets with c.Status alone is sent when the door's handlers
//     have returned. So an unknown path behind a door of the whole engine is a
//     404 without gin's text.
package latchgin
