package middleware_test

import (
	"context"
	"fmt"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// metadata, stream and handlerOf stand for a transport that is not HTTP, such as
// gRPC: a call has metadata and a peer, a handler returns an answer and an error.
type (
	metadata  map[string][]string
	stream    struct{ reset func() }
	handlerOf func(ctx context.Context, s *stream) (string, error)
)

// Values makes metadata middleware.Fields.
func (m metadata) Values(name string) []string { return m[name] }

// guardStreams is the whole adapter.
func guardStreams(guard *middleware.Guard, need apikey.Requirement) func(md metadata, peer string, s *stream, next handlerOf) (string, error) {
	door := guard.Door(middleware.Route{Need: need})
	return func(md metadata, peer string, s *stream, next handlerOf) (answer string, err error) {
		var call middleware.Call
		door.Decide(context.Background(), &call, middleware.Request{Fields: md, Host: "api.example.com", Peer: peer})
		if !call.Allowed() {
			return "", refused(&call.Outcome)
		}
		defer func() {
			if call.End(0) != nil { // cut: also when the handler panics
				answer, err = "", refused(&call.Outcome)
			}
		}()
		return next(call.Begin(func(error) { s.reset() }), s)
	}
}

func refused(o *middleware.Outcome) error { return fmt.Errorf("%s: %s", o.Code().String(), o.Detail()) }

// A transport of one's own: an interceptor for streams that end with their key.
func ExampleDoor_Decide_stream() {
	guard, token := exampleGuard()
	intercept := guardStreams(guard, middleware.AllOf("things:read"))
	revoke := func(ctx context.Context) {
		p, _ := middleware.PrincipalFrom(ctx)
		_, _ = guard.Keys().Revoke(context.Background(), apikey.Actor{ID: "alice"}, p.KeyID(), "leaked")
	}
	s := &stream{reset: func() { fmt.Println("the stream is reset") }}
	_, err := intercept(metadata{"Authorization": {"Bearer " + token}}, "192.0.2.1:1234", s, func(ctx context.Context, _ *stream) (string, error) {
		revoke(ctx)
		<-ctx.Done()
		return "", context.Cause(ctx)
	})
	fmt.Println(err)
	_, err = intercept(metadata{}, "192.0.2.1:1234", s, nil)
	fmt.Println(err)
	// Output:
	// the stream is reset
	// revoked_key: This API key was revoked, which is final. Create a new one.
	// missing_key: This request needs an API key. Send it as "Authorization: Bearer YOUR_KEY".
}
