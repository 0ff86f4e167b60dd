package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// An adapter for a transport with calls and streams, in the shape of gRPC: what
// it needs of the framework stands at the end.
type interceptor struct {
	doors map[string]*middleware.Door // by the full name of the method
}

func (i *interceptor) unary(ctx context.Context, req any, method string, handle func(context.Context, any) (any, error)) (any, error) {
	var call middleware.Call
	if err := i.decide(ctx, &call, method); err != nil {
		return nil, err
	}
	defer call.End(http.StatusInternalServerError) // if the handler panics
	answer, err := handle(call.Begin(nil), req)
	if call.End(httpStatus(err)) != nil {
		return nil, refused(&call.Outcome)
	}
	return answer, err
}

func (i *interceptor) stream(s stream, method string, handle func(stream) error) error {
	var call middleware.Call
	if err := i.decide(s.Context(), &call, method); err != nil {
		return err
	}
	defer call.End(http.StatusInternalServerError)
	// What blocks in Send or Recv is woken by the end of the stream's own context.
	err := handle(guardedStream{s, call.Begin(func(error) { s.Abort() })})
	if call.End(httpStatus(err)) != nil {
		return refused(&call.Outcome) // the status of a stream is its last message
	}
	return err
}

func (i *interceptor) decide(ctx context.Context, call *middleware.Call, method string) error {
	door := i.doors[method]
	if door == nil {
		return statusError{"UNIMPLEMENTED", "unknown method", nil}
	}
	peer, md := fromContext(ctx)
	door.Decide(ctx, call, middleware.Request{Fields: md, Host: md.authority(), Peer: peer, Pattern: method})
	if !call.Allowed() {
		return refused(&call.Outcome)
	}
	return nil
}

// refused tells the client why, and what it may do about it.
func refused(o *middleware.Outcome) error {
	trailer := map[string]string{"code": o.Code().String()}
	for name, value := range o.ResponseFields() {
		trailer[strings.ToLower(name)] = value
	}
	status := map[int]string{400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"}[o.Status()]
	if status == "" {
		status = "UNAVAILABLE"
	}
	return statusError{status, o.Detail(), trailer}
}

// guardedStream is a stream whose context ends with the key.
type guardedStream struct {
	stream
	ctx context.Context
}

func (s guardedStream) Context() context.Context { return s.ctx }

// One request of an adapter for a transport that is not net/http, from its
// decision to its end. This source file contains the whole adapter.
func ExampleCall() {
	guard, token := exampleGuard()
	rpc := &interceptor{map[string]*middleware.Door{
		"/things.v1.Things/List":   guard.Door(middleware.Route{Need: middleware.AllOf("things:read")}),
		"/things.v1.Things/Delete": guard.Door(middleware.Route{Need: middleware.AllOf("things:write")}),
	}}
	ctx := withCall(context.Background(), "192.0.2.1:4711", metadata{"authorization": {"Bearer " + token}, ":authority": {"api.example.com"}})
	list := func(ctx context.Context, _ any) (any, error) {
		p, _ := middleware.PrincipalFrom(ctx)
		return "things of " + p.Owner(), nil
	}
	fmt.Println(rpc.unary(ctx, nil, "/things.v1.Things/List", list))
	fmt.Println(rpc.unary(ctx, nil, "/things.v1.Things/Delete", list))

	watch := func(s stream) error {
		p, _ := middleware.PrincipalFrom(s.Context())
		_, _ = guard.Keys().Revoke(context.Background(), apikey.Actor{ID: "ops"}, p.KeyID(), "leaked")
		return s.Recv() // blocks until the stream ends
	}
	fmt.Println(rpc.stream(newFakeStream(ctx), "/things.v1.Things/List", watch))
	// Output:
	// things of acme <nil>
	// <nil> PERMISSION_DENIED: The key lacks the scope "things:write". Use a key that has it, or add it to this key.
	// UNAUTHENTICATED: This API key was revoked, which is final. Create a new one.
}

// What a framework has.

type metadata map[string][]string

func (m metadata) Values(name string) []string { return m[strings.ToLower(name)] }

func (m metadata) authority() string { return strings.Join(m[":authority"], "") }

type stream interface {
	Context() context.Context
	Recv() error
	Abort()
}

type fakeStream struct {
	ctx     context.Context
	aborted chan struct{}
}

func newFakeStream(ctx context.Context) fakeStream { return fakeStream{ctx, make(chan struct{})} }

func (s fakeStream) Context() context.Context { return s.ctx }
func (s fakeStream) Recv() error              { <-s.aborted; return errors.New("aborted") }
func (s fakeStream) Abort()                   { close(s.aborted) }

type callKey struct{}

type callInfo struct {
	peer string
	md   metadata
}

func withCall(ctx context.Context, peer string, md metadata) context.Context {
	return context.WithValue(ctx, callKey{}, callInfo{peer, md})
}

func fromContext(ctx context.Context) (peer string, md metadata) {
	c, _ := ctx.Value(callKey{}).(callInfo)
	return c.peer, c.md
}

type statusError struct {
	status, detail string
	trailer        map[string]string
}

func (e statusError) Error() string { return e.status + ": " + e.detail }

func httpStatus(err error) int {
	if err != nil {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}
