package latchgrpc_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgrpc"
	"github.com/wontopos/latchkey/storage/memstore"
)

var ops = apikey.Actor{ID: "ops@example.com"}

// message is what all methods of the test's service take and return.
type message = wrapperspb.StringValue

// methods are those of most tests: Hidden has no row.
var methods = latchgrpc.Methods{
	Guarded: map[string]middleware.Route{
		"/test.Things/Get":   {Need: middleware.AllOf("things:read")},
		"/test.Things/Watch": {Need: middleware.AllOf("things:read")},
		"/test.Things/Write": {Need: middleware.AllOf("things:write")},
	},
	Public: []string{"/test.Health/*"},
}

// kit is a server on a socket, with a client.
type kit struct {
	t     testing.TB
	keys  *latchkey.Service
	guard *middleware.Guard
	conn  *grpc.ClientConn

	get   func(ctx context.Context, in string) (string, error) // serves the unary methods
	watch func(s grpc.ServerStream) error                      // serves Watch
}

// newKit makes a server, with interceptors around the guard.
func newKit(t testing.TB, around ...grpc.ServerOption) *kit {
	t.Helper()
	k := newGuard(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := k.server(around...)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	k.conn = k.dial(listener.Addr().String())
	return k
}

func newGuard(t testing.TB) *kit {
	t.Helper()
	k := &kit{t: t}
	k.get = func(_ context.Context, in string) (string, error) { return in, nil }
	k.watch = func(grpc.ServerStream) error { return nil }
	quiet := slog.New(slog.DiscardHandler)
	var err error
	k.keys, err = latchkey.New(memstore.New(), latchkey.Options{Logger: quiet, Environments: apikey.LiveAndTest("https://api.example.com", "https://sandbox.example.com")})
	if err != nil {
		t.Fatal(err)
	}
	if k.guard, err = middleware.New(k.keys, middleware.Options{Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = k.guard.Close(context.Background())
		_ = k.keys.Close(context.Background())
	})
	return k
}

func (k *kit) server(around ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(append(around, latchgrpc.New(k.guard, methods)...)...)
	unary := func(service, name string) grpc.MethodDesc {
		return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			in := new(message)
			if err := decode(in); err != nil {
				return nil, err
			}
			return intercept(ctx, in, &grpc.UnaryServerInfo{FullMethod: "/" + service + "/" + name}, func(ctx context.Context, in any) (any, error) {
				out, err := k.get(ctx, in.(*message).Value)
				return wrapperspb.String(out), err
			})
		}}
	}
	service := func(name string, streams []grpc.StreamDesc, methods ...string) {
		d := &grpc.ServiceDesc{ServiceName: name, HandlerType: (*any)(nil), Streams: streams}
		for _, m := range methods {
			d.Methods = append(d.Methods, unary(name, m))
		}
		server.RegisterService(d, k)
	}
	serve := func(_ any, s grpc.ServerStream) error { return k.watch(s) }
	service("test.Things", []grpc.StreamDesc{{StreamName: "Watch", Handler: serve, ServerStreams: true, ClientStreams: true}, {StreamName: "HiddenWatch", Handler: serve, ServerStreams: true}},
		"Get", "Write", "Hidden")
	service("test.Health", nil, "Check")
	return server
}

func (k *kit) dial(address string, o ...grpc.DialOption) *grpc.ClientConn {
	k.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("api.example.com")}, o...)...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// key creates a key and returns its id and token.
func (k *kit) key() (id, token string) {
	k.t.Helper()
	key, secret, err := k.keys.Create(context.Background(), ops, latchkey.NewKey{Name: "production-backend", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		k.t.Fatal(err)
	}
	return key.ID, secret.Reveal()
}

func (k *kit) revoke(id string) {
	if _, err := k.keys.Revoke(context.Background(), ops, id, "test"); err != nil {
		k.t.Error(err)
	}
}

// with returns a context for calls with a token, unless it is empty.
func (k *kit) with(token string) context.Context {
	ctx := k.t.Context()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	return ctx
}

// call calls a unary method and returns its answer and error.
func (k *kit) call(ctx context.Context, method, in string) (string, error) {
	out := new(message)
	err := k.conn.Invoke(ctx, method, wrapperspb.String(in), out)
	return out.Value, err
}

// open opens the stream Watch.
func (k *kit) open(token string) grpc.ClientStream {
	k.t.Helper()
	s, err := k.conn.NewStream(k.with(token), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Things/Watch")
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

// expect checks the code and the reason of a refusal.
func expect(t testing.TB, err error, code codes.Code, reason string) {
	t.Helper()
	s := status.Convert(err)
	for _, d := range s.Details() {
		if d, ok := d.(*errdetails.ErrorInfo); ok && s.Code() == code && d.Reason == reason {
			return
		}
	}
	t.Errorf("the call ended with %v, %v; want %v, %q", err, s.Details(), code, reason)
}

func expectRevoked(t testing.TB, err error) {
	t.Helper()
	expect(t, err, codes.Unauthenticated, "REVOKED_KEY")
	if !strings.Contains(status.Convert(err).Message(), "revoked") {
		t.Errorf("the refusal does not say why: %v", err)
	}
}
