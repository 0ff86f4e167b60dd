package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/ratelimit"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgrpc"
)

const (
	grpcModule = "google.golang.org/grpc"
	grpcMethod = "/bench.Things/List"
)

// grpcOps drives a server with one unary method through its ServeHTTP: no socket,
// but the server's own streams, metadata and interceptors. ok reports whether the
// handler finds who calls. The answers are told as the statuses of HTTP.
func grpcOps(k *keyset, ok func(context.Context) bool, options ...grpc.ServerOption) func() op {
	server := grpc.NewServer(options...)
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "bench.Things", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "List",
		Handler: func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			in := new(emptypb.Empty)
			if err := decode(in); err != nil {
				return nil, err
			}
			serve := func(ctx context.Context, in any) (any, error) {
				if !ok(ctx) {
					return nil, status.Error(codes.Internal, "nobody")
				}
				return in, nil
			}
			if intercept == nil {
				return serve(ctx, in)
			}
			return intercept(ctx, in, &grpc.UnaryServerInfo{FullMethod: grpcMethod}, serve)
		},
	}}}, struct{}{})
	return func() op {
		line, body := []string{""}, new(rewound)
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "http://api.example.com"+grpcMethod, body)
		r.ProtoMajor, r.ProtoMinor, r.Proto = 2, 0, "HTTP/2.0"
		r.Header = http.Header{"Authorization": line, "Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {"bench/1"}}
		w := &sink{header: make(http.Header, 8)}
		return func(token uint32) int {
			line[0] = k.auth[token]
			body.Reset(emptyMessage)
			w.status = 0
			clear(w.header)
			server.ServeHTTP(w, r)
			code, err := strconv.Atoi(w.header.Get("Grpc-Status"))
			if err != nil {
				return 0
			}
			return grpcStatuses[codes.Code(code)]
		}
	}
}

var emptyMessage = make([]byte, 5) // the prefix of a message without content

// rewound is a body that is read again and again.
type rewound struct{ bytes.Reader }

func (*rewound) Close() error { return nil }

var grpcStatuses = map[codes.Code]int{
	codes.OK: http.StatusOK, codes.Unauthenticated: http.StatusUnauthorized,
	codes.PermissionDenied: http.StatusForbidden, codes.ResourceExhausted: http.StatusTooManyRequests,
}

func anybody(context.Context) bool { return true }

func grpcBare() peer {
	return peer{
		name: "grpc-bare", module: grpcModule, how: "one unary method, no interceptors, through Server.ServeHTTP", does: admitAll,
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
	return guarded("latchgrpc", grpcModule, "latchgrpc.New", func(k *keyset, g *middleware.Guard) func() op {
		return grpcOps(k, hasPrincipal, latchgrpc.New(g, latchgrpc.Methods{Guarded: map[string]middleware.Route{grpcMethod: {Need: middleware.AllOf(need)}}})...)
	})
}
