package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/ratelimit"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgrpc"
)

const (
	grpcModule = "google.golang.org/grpc"
	grpcMethod = "/bench.Things/List"
)

// grpcOps drives the interceptors of a server with a context like that of a unary
// call. Whole calls cost ten to thirty times as much, in goroutines that wait for
// one another, and vary by more than an interceptor takes. ok reports whether the
// handler finds who calls. The answers are told as the statuses of HTTP.
func grpcOps(k *keyset, ok func(context.Context) bool, options ...grpc.ServerOption) func() op {
	intercept := interceptorOf(options)
	serve := func(ctx context.Context, in any) (any, error) {
		if !ok(ctx) {
			return nil, status.Error(codes.Internal, "nobody")
		}
		return in, nil
	}
	if intercept == nil {
		intercept = func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			return next(ctx, in)
		}
	}
	return func() op {
		line, stream := []string{""}, new(grpcStream)
		ctx, cancel := context.WithCancel(grpc.NewContextWithServerTransportStream(context.Background(), stream))
		_ = cancel // as with a server, somebody could
		ctx = grpcpeer.NewContext(ctx, &grpcpeer.Peer{Addr: remoteAddr})
		ctx = metadata.NewIncomingContext(ctx, metadata.MD{
			"authorization": line, ":authority": {"api.example.com"}, "content-type": {"application/grpc"}, "user-agent": {"bench/1"},
		})
		in, info := new(emptypb.Empty), &grpc.UnaryServerInfo{FullMethod: grpcMethod}
		return func(token uint32) int {
			line[0] = k.auth[token]
			stream.header = nil
			_, err := intercept(ctx, in, info, serve)
			return grpcStatuses[status.Code(err)]
		}
	}
}

// interceptorOf returns what a server with these options calls around its unary
// methods: it makes one call, whose method gets the interceptor as an argument.
func interceptorOf(options []grpc.ServerOption) (found grpc.UnaryServerInterceptor) {
	server := grpc.NewServer(options...)
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "bench.Things", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "List",
		Handler: func(_ any, _ context.Context, _ func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			found = intercept
			return new(emptypb.Empty), nil
		},
	}}}, struct{}{})
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "http://api.example.com"+grpcMethod, bytes.NewReader(make([]byte, 5)))
	r.ProtoMajor = 2
	r.Header.Set("Content-Type", "application/grpc")
	server.ServeHTTP(&sink{header: http.Header{}}, r)
	return found
}

// grpcStream keeps what is set as a server's stream does.
type grpcStream struct{ header metadata.MD }

func (s *grpcStream) Method() string { return grpcMethod }

func (s *grpcStream) SetHeader(md metadata.MD) error {
	s.header = metadata.Join(s.header, md)
	return nil
}

func (s *grpcStream) SendHeader(metadata.MD) error     { return nil }
func (s *grpcStream) SetTrailer(metadata.MD) error     { return nil }
func (s *grpcStream) WriteStatus(*status.Status) error { return nil }

var grpcStatuses = map[codes.Code]int{
	codes.OK: http.StatusOK, codes.Unauthenticated: http.StatusUnauthorized,
	codes.PermissionDenied: http.StatusForbidden, codes.ResourceExhausted: http.StatusTooManyRequests,
}

func anybody(context.Context) bool { return true }

func grpcBare() peer {
	return peer{
		name: "grpc-bare", module: grpcModule, how: "the handler of a unary method, without a server around it", does: admitAll,
		open: func(k *keyset) (func() op, func(), error) { return grpcOps(k, anybody), nothing, nil },
	}
}

// grpcRate has the interceptors of go-grpc-middleware for both.
func grpcRate() peer {
	return peer{
		name: "grpc-auth+ratelimit", module: "github.com/grpc-ecosystem/go-grpc-middleware/v2",
		how: "the auth and ratelimit interceptors of go-grpc-middleware over " + handHow,
		open: func(k *keyset) (func() op, func(), error) {
			hand := newHandLimits(k)
			check := auth.UnaryServerInterceptor(func(ctx context.Context) (context.Context, error) {
				token, err := auth.AuthFromMD(ctx, "bearer")
				if err != nil {
					return nil, err
				}
				a, ok := hand.keys.find(token)
				switch {
				case !ok:
					return nil, status.Error(codes.Unauthenticated, "invalid API key")
				case !a.may(need):
					return nil, status.Error(codes.PermissionDenied, "the key lacks a scope")
				}
				return context.WithValue(ctx, accountKey{}, a), nil
			})
			return grpcOps(k, hasAccount, grpc.ChainUnaryInterceptor(check, ratelimit.UnaryServerInterceptor(hand))), nothing, nil
		},
	}
}

// Limit implements [ratelimit.Limiter].
func (h *handLimits) Limit(ctx context.Context) error {
	if a, _ := ctx.Value(accountKey{}).(*account); a == nil || !h.rates.allow(a) {
		return errors.New("rate limit exceeded")
	}
	return nil
}

func latchGRPC() peer {
	return guarded("latchgrpc", grpcModule, "the interceptor of latchgrpc.New", func(k *keyset, g *middleware.Guard) func() op {
		return grpcOps(k, hasPrincipal, latchgrpc.New(g, latchgrpc.Methods{Guarded: map[string]middleware.Route{grpcMethod: {Need: middleware.AllOf(need)}}})...)
	})
}
