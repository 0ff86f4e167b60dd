// Package latchconnect guards the methods of Connect handlers with API keys, for
// clients that speak Connect, gRPC or gRPC-Web.
//
//	mux := http.NewServeMux()
//	mux.Handle(thingsv1connect.NewThingsHandler(things))
//	mux.Handle(grpchealth.NewHandler(health))
//	guarded := latchconnect.New(guard, latchconnect.Methods{
//		Guarded: map[string]middleware.Route{
//			thingsv1connect.ThingsListProcedure:  {Need: middleware.AllOf("things:read")},
//			thingsv1connect.ThingsWatchProcedure: {Need: middleware.AllOf("things:read"), Cost: 10},
//			"/things.v1.Things/*":                {Need: middleware.AllOf("things:write")},
//		},
//		Public: []string{"/grpc.health.v1.Health/*"},
//	})(mux)
//
// Handlers find the principal with [middleware.PrincipalFrom]. A method without a
// row is refused with permission_denied: health checks and reflection work only
// where Methods says so. latchgrpc has the same table for grpc-go.
//
// # Answers
//
// Admitted calls carry the limits in the header fields RateLimit-Policy and
// RateLimit. A refusal is an error of the caller's own protocol, with the code of
// its [apikey.Code], a sentence for people, and as details an ErrorInfo, with the
// domain "latchkey", the code's name in upper case as the reason (REVOKED_KEY) and,
// where it applies, the metadata missing_scopes and base_url, and a RetryInfo if
// waiting helps. It has the header fields of the same refusal on HTTP. Requests
// that no client of these protocols sends, such as a PUT or a CORS preflight, are
// guarded as by [middleware.Door.Wrap], and get the problem document.
//
// A GET, or a POST of plain JSON, is a call of Connect. The error of a call is not
// made by [middleware.Options.ErrorHandler].
//
// # Calls in flight
//
// When the key of a call ends, the handler's context ends with that cause, and a
// blocked Receive returns. Nothing that the handler sends or returns afterwards
// reaches the client. When the handler has returned, the call ends as
// unauthenticated, with the reason REVOKED_KEY, in its protocol: in the trailers of
// gRPC, in the last message of a stream of Connect and of gRPC-Web, and as a
// refusal if no header was sent.
//
// What cannot be done:
//
//   - net/http ends a response when its handler returns. The client of a stream whose
//     handler ignores its context does not wait for it over HTTP/2: a second after
//     the cut the stream is reset, and the client sees an error without a reason.
//     Over HTTP/1.1 it waits.
//   - A client that reads too slowly sees a reset, too: a blocked Send returns a
//     second after the cut.
//   - A response that is not a stream of messages and has begun cannot say why it
//     ended, and neither can one that was cut inside a message. Both are broken off,
//     also behind middleware that recovers panics.
//   - Messages from before the end of the key go out.
//   - A handler that ignores its context runs to its end.
//
// # Limitations
//
// The status that a key's last use shows is that of HTTP: 200 for every call of
// gRPC and every stream that was served. A door of the same Guard around this one
// therefore keeps the charge of a call that this one refuses over gRPC: put none
// there.
//
// Middleware around this one that replaces the ResponseWriter must give its writer
// an Unwrap method, or stand inside: otherwise blocked calls are not woken. Inside, the
// ResponseWriter is a Flusher and has none of the other abilities of the server's.
package latchconnect
