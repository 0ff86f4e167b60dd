package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"

	"connectrpc.com/authn"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchconnect"
)

const connectModule = "connectrpc.com/connect"

// emptyBody is a body without content.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }

// connectOps drives a unary method in Connect's own protocol. ok reports whether
// the handler finds who calls.
func connectOps(k *keyset, ok func(context.Context) bool, around func(http.Handler) http.Handler) func() op {
	mux := http.NewServeMux()
	mux.Handle(grpcMethod, connect.NewUnaryHandler(grpcMethod, func(ctx context.Context, r *connect.Request[emptypb.Empty]) (*connect.Response[emptypb.Empty], error) {
		if !ok(ctx) {
			return nil, errors.New("who calls?")
		}
		return connect.NewResponse(r.Msg), nil
	}))
	h := around(mux)
	return func() op {
		line := []string{""}
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "http://api.example.com"+grpcMethod, emptyBody{})
		r.Header = http.Header{"Authorization": line, "Content-Type": {"application/proto"}, "Connect-Protocol-Version": {"1"}, "User-Agent": {"bench/1"}}
		w := &sink{header: make(http.Header, 8)}
		return func(token uint32) int {
			line[0] = k.auth[token]
			w.status = 0
			clear(w.header)
			h.ServeHTTP(w, r)
			return max(w.status, http.StatusOK) // an empty message is not written, and leaves it at 0
		}
	}
}

func connectBare() peer {
	return peer{
		name: "connect-bare", module: connectModule, how: "one unary method on a ServeMux, no middleware", does: admitAll,
		open: func(k *keyset) (func() op, func(), error) {
			return connectOps(k, anybody, func(h http.Handler) http.Handler { return h }), nothing, nil
		},
	}
}

func connectRate() peer {
	return peer{
		name: "connect-authn+2rate", module: "connectrpc.com/authn", how: "authn's middleware over " + handHow,
		open: func(k *keyset) (func() op, func(), error) {
			hand := newHandLimits(k)
			check := authn.NewMiddleware(func(_ context.Context, r *http.Request) (any, error) {
				token, ok := authn.BearerToken(r)
				if !ok {
					return nil, authn.Errorf("missing API key")
				}
				a, ok := hand.keys.find(token)
				switch {
				case !ok:
					return nil, authn.Errorf("invalid API key")
				case !a.may(need):
					return nil, connect.NewError(connect.CodePermissionDenied, errors.New("the key lacks a scope"))
				case !hand.rates.allow(a):
					return nil, connect.NewError(connect.CodeResourceExhausted, errors.New("rate limit exceeded"))
				}
				return a, nil
			})
			return connectOps(k, func(ctx context.Context) bool {
				_, ok := authn.GetInfo(ctx).(*account)
				return ok
			}, check.Wrap), nothing, nil
		},
	}
}

func latchConnect() peer {
	return guarded("latchconnect", connectModule, "latchconnect.New", func(k *keyset, g *middleware.Guard) func() op {
		m := latchconnect.Methods{Guarded: map[string]middleware.Route{grpcMethod: {Need: middleware.AllOf(need)}}}
		return connectOps(k, hasPrincipal, latchconnect.New(g, m))
	})
}
