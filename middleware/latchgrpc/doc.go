// Package latchgrpc guards the methods of a gRPC server with API keys.
//
//	methods := latchgrpc.Methods{
//		Guarded: map[string]middleware.Route{
//			"/things.v1.Things/List":  {Need: middleware.AllOf("things:read")},
//			"/things.v1.Things/Watch": {Need: middleware.AllOf("things:read"), Cost: 10},
//			"/things.v1.Things/*":     {Need: middleware.AllOf("things:write")},
//		},
//		Public: []string{"/grpc.health.v1.Health/*"},
//	}
//	server := grpc.NewServer(latchgrpc.New(guard, methods)...)
//	thingsv1.RegisterThingsServer(server, things)
//	if err := methods.Check(server); err != nil {
//		log.Fatal(err)
//	}
//
// A key comes in the metadata "authorization", as on HTTP, or where
// [middleware.Options] say; the host is :authority. Handlers find the principal
// with [middleware.PrincipalFrom], and the key in their metadata also with
// [middleware.Options.StripCredential]. A method without a row is refused with
// PERMISSION_DENIED: health checks and reflection work only where Methods says so.
// [Methods.Check] finds such methods, and misspelt rows, before the first call.
//
// # Answers
//
// Admitted calls carry the limits in the header metadata ratelimit-policy and
// ratelimit. A refusal has the gRPC code of its [apikey.Code], a sentence for
// people, and as details an ErrorInfo, with the domain "latchkey", the code's
// name in upper case as the reason (REVOKED_KEY) and, where it applies, the
// metadata missing_scopes and base_url, and a RetryInfo if waiting helps. Its
// header metadata are the fields of the same refusal on HTTP, without
// content-type. [middleware.Options.ErrorHandler] is not called.
//
// # Calls in flight
//
// When the key of a call ends, the call ends at once: the client gets the
// refusal, such as UNAUTHENTICATED with the reason REVOKED_KEY, the handler's
// context ends with that cause, and its SendMsg and RecvMsg, also those that are
// blocked, return that refusal. Nothing that the handler sends or returns
// afterwards reaches the client.
//
// What cannot be done:
//
//   - A handler that ignores its context and its stream runs to its end, because
//     Go has no way to stop it, and GracefulStop waits for it.
//   - Messages from before the end of the key go out, and so does the metadata that
//     the handler has set when the refusal is written. A client that has stopped
//     reading gets them, and the refusal, when it reads on.
//   - The header metadata of a call that was cut are those with which it was admitted:
//     the limits, and no www-authenticate.
//   - grpc-go has no public way to end a call from outside its handler. This
//     package uses a method of grpc-go's own stream. Where an interceptor outside
//     the guard has replaced that stream in the context, or a later grpc-go lacks
//     the method, the client learns of the end when the handler returns, and a
//     blocked RecvMsg when its client sends or leaves. The log says so, once.
//   - grpc-go reads the request of a unary call before it asks an interceptor;
//     grpc.MaxRecvMsgSize bounds it.
package latchgrpc
