// Package latchecho guards the routes of echo v5 with API keys.
//
//	e := echo.New()
//	e.GET("/v1/things", func(c *echo.Context) error {
//		p, _ := latchecho.Principal(c)
//		return c.JSON(http.StatusOK, thingsOf(p.Owner()))
//	}, latchecho.Require(guard, middleware.AllOf("things:read")))
//
// A door decides exactly as one of package middleware does, for a route, a
// group or a whole echo. Inside it c.Request() has the context that ends with the
// key, and c.Response() writes through the guard; behind it both are as before.
//
// # Refusals
//
// The guard answers a refused request with its problem document, or with
// [middleware.Options.ErrorHandler]. The door then returns an *echo.HTTPError that
// wraps the code, such as [apikey.InsufficientScope], so that middleware around it
// and echo's HTTPErrorHandler learn of the refusal. A request whose key ended
// before it was answered is a refusal, too: [apikey.RevokedKey].
//
// To have echo answer refusals, set an ErrorHandler that writes nothing. The
// header fields of a refusal, such as WWW-Authenticate, are set by then, and its
// Content-Type is that of a problem document.
//
// # Errors of handlers
//
// The door calls the HTTPErrorHandler with the error of a handler that has not
// answered, so that the guard knows how the request ended, and returns the error.
// echo then calls the HTTPErrorHandler again with the same error, as it does
// behind its own RequestLogger. The response is committed by then: a second answer
// is dropped.
//
// # Requests in flight
//
// They end as package middleware says, also behind echo's Recover. Middleware
// around the door that replaces c.Response() must give its writer an Unwrap
// method, as echo itself requires: otherwise the guard cannot reach the
// connection, and says so in its log. As everywhere in echo, a goroutine that
// outlives its handler must not keep c.
//
// # Differences from echo without a door
//
//   - c.Response().WriteHeader sends 1xx at once, where echo would take 103 for the
//     final status.
//   - c.Response() is not itself an *echo.Response, as behind echo's Gzip:
//     echo.UnwrapResponse finds one, which belongs to the handlers inside the door.
//     Its Before and After functions are not called for a refusal.
package latchecho
