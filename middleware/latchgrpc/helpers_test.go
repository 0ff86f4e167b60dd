package latchgrpc_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

var ops = apikey.Actor{ID: "ops@example.com"}

// message is what all methods of the test's service take and return.
type message = wrapperspb.StringValue

// methods are those of most tests: Hidden has no row.
var methods = latchgrpc.Methods{
	Guarded: map[string]middleware.Route{
		"/test.Things/Get":      {Need: middleware.AllOf("things:read")},
		"/test.Things/Watch":    {Need: middleware.AllOf("things:read")},
		"/test.Things/Write":    {Need: middleware.AllOf("things:write")},
		"/test.Things/Optional": {Need: middleware.AnyKey(), Optional: true},
		"/test.Things/Dear":     {Need: middleware.AnyKey(), Cost: 3},
	},
	Public: []string{"/test.Health/*"},
}

// kit is a server on a socket, with a client.
type kit struct {
	t     testing.TB
	store *store
	keys  *latchkey.Service
	guard *middleware.Guard
	conn  *grpc.ClientConn

	get   func(ctx context.Context, in string) (string, error) // serves the unary methods
	watch func(s grpc.ServerStream) error                      // serves Watch
}

type store struct {
	*memstore.Store
	down atomic.Bool
}

func (s *store) Get(ctx context.Context, id string) (storage.Record, error) {
	if s.down.Load() {
		return storage.Record{}, errors.New("down")
	}
	return s.Store.Get(ctx, id)
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
	k := &kit{t: t, store: &store{Store: memstore.New()}}
	k.get = func(_ context.Context, in string) (string, error) { return in, nil }
	k.watch = func(grpc.ServerStream) error { return nil }
	quiet := slog.New(slog.DiscardHandler)
	var err error
	k.keys, err = latchkey.New(k.store, latchkey.Options{Logger: quiet, Environments: apikey.LiveAndTest("https://api.example.com", "https://sandbox.example.com")})
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
		"Get", "Write", "Hidden", "Optional", "Dear")
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
func (k *kit) key(change ...func(*latchkey.NewKey)) (id, token string) {
	k.t.Helper()
	n := latchkey.NewKey{Name: "production-backend", Owner: "acme", Scopes: []string{"things:read"}, Limits: []apikey.Limit{{Name: "minute", N: 1_000_000, Window: time.Minute}}}
	for _, f := range change {
		f(&n)
	}
	key, secret, err := k.keys.Create(context.Background(), ops, n)
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

// call calls a unary method and returns its answer, header and error.
func (k *kit) call(ctx context.Context, method, in string) (string, metadata.MD, error) {
	var header metadata.MD
	out := new(message)
	err := k.conn.Invoke(ctx, method, wrapperspb.String(in), out, grpc.Header(&header))
	return out.Value, header, err
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

// reason returns the code of a call's error, the reason and metadata of its
// ErrorInfo, and the delay of its RetryInfo.
func reason(t testing.TB, err error) (code codes.Code, why string, about map[string]string, retry time.Duration) {
	t.Helper()
	s := status.Convert(err)
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			why, about = d.Reason, d.Metadata
			if d.Domain != "latchkey" {
				t.Errorf("the domain is %q", d.Domain)
			}
		case *errdetails.RetryInfo:
			retry = d.RetryDelay.AsDuration()
		}
	}
	return s.Code(), why, about, retry
}

// expect checks the code and the reason of a refusal.
func expect(t testing.TB, err error, code codes.Code, why string) {
	t.Helper()
	if c, w, _, _ := reason(t, err); c != code || w != why {
		t.Errorf("the call ended with %v, reason %q: %v; want %v, %q", c, w, err, code, why)
	}
}

func expectRevoked(t testing.TB, err error) {
	t.Helper()
	expect(t, err, codes.Unauthenticated, "REVOKED_KEY")
	if !strings.Contains(status.Convert(err).Message(), "revoked") {
		t.Errorf("the refusal does not say why: %v", err)
	}
}
