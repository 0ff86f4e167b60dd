// Package latchfiber guards the routes of fiber v3 with API keys.
//
//	app := fiber.New(fiber.Config{StreamRequestBody: true})
//	app.Get("/v1/things", latchfiber.Require(guard, middleware.AllOf("things:read")), func(c fiber.Ctx) error {
//		p, _ := latchfiber.Principal(c)
//		return c.JSON(thingsOf(p.Owner()))
//	})
//
// A door decides exactly as one of package middleware does, for a route, a group
// or a whole app. Inside it c.Context() ends with the key. The guard is asked about
// the peer of the connection and the host as fasthttp has them: which proxies are
// trusted is [middleware.Options.TrustedProxies], not fiber's TrustProxy. Nothing of
// the request is kept, so fiber may reuse its memory. [Routes] is for a test that no
// route was forgotten.
//
// # Refusals
//
// A refused request is answered with the guard's problem document, and no handler
// after the door runs. An application that shapes its errors itself gives a
// [Refuse], which may return one to fiber's ErrorHandler; the header fields of the
// refusal, such as WWW-Authenticate and Retry-After, stay:
//
//	func refuse(c fiber.Ctx, o *middleware.Outcome) error { return fiber.NewError(o.Status(), o.Detail()) }
//
// [middleware.Options.ErrorHandler] is not called. Handlers find the key in the
// request also with [middleware.Options.StripCredential].
//
// # Requests in flight
//
// When the key of a request ends:
//
//   - before its handlers have returned, the client gets the refusal, in place of
//     all that they have set; header fields from before the door stay. A handler that
//     reads the body is woken;
//   - while a stream is sent (SendStream, SendStreamWriter, SendFile), or a large
//     answer, its connection is reset, so that it never looks whole. Writing to the
//     stream is then an error;
//   - a connection that a handler has taken over, as for a WebSocket, is reset;
//   - c.Context() ends, after all that, with [apikey.RevokedKey],
//     [apikey.DisabledKey] or [apikey.ExpiredKey] as its cause. A stream that waits
//     for something must take the context before its handler returns, and wait for
//     that, too.
//
// What cannot be done:
//
//   - A handler that ignores its context runs to its end, because Go has no way to
//     stop it. What it writes goes to memory, and so without an error.
//   - An answer of up to 64 KiB that is not a stream is over when its handlers have
//     returned.
//   - Without StreamRequestBody fasthttp reads the body, up to the BodyLimit, before
//     it calls any handler, and so before the guard is asked.
//   - fasthttp answers Expect: 100-continue before it calls any handler.
//   - A connection that is not TCP, and one that MaxConnsPerIP wraps, is closed
//     without a reset.
//   - Where fiber's adaptor mounts the application in net/http, or app.Test calls it,
//     there is no connection to sever, and every request is over when its handlers
//     have returned. Put a door of package middleware around the adaptor instead.
//   - A context around the door that can end takes its requests along. That of fiber's
//     timeout middleware ends with its handler, and so do streams of doors inside it:
//     put the door outside.
package latchfiber
