package latchconnect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchconnect"
	"github.com/wontopos/latchkey/storage/memstore"
)

// A server whose methods need keys, and a client of it. Generated code has the
// handlers, the client and the names of the methods.
func ExampleNew() {
	ctx := context.Background()
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = keys.Close(ctx) }()
	guard, err := middleware.New(keys, middleware.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = guard.Close(ctx) }()

	const list = "/things.v1.Things/List"
	mux := http.NewServeMux()
	mux.Handle(list, connect.NewUnaryHandler(list, func(ctx context.Context, _ *connect.Request[emptypb.Empty]) (*connect.Response[wrapperspb.StringValue], error) {
		p, _ := middleware.PrincipalFrom(ctx)
		return connect.NewResponse(wrapperspb.String("things of " + p.Owner())), nil
	}))
	server := httptest.NewServer(latchconnect.New(guard, latchconnect.Methods{
		Guarded: map[string]middleware.Route{list: {Need: middleware.AllOf("things:read")}},
	})(mux))
	defer server.Close()

	key, token, err := keys.Create(ctx, apikey.Actor{ID: "setup"}, latchkey.NewKey{Name: "backend", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		panic(err)
	}
	client := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](server.Client(), server.URL+list, connect.WithGRPCWeb())
	call := func() {
		r := connect.NewRequest(&emptypb.Empty{})
		r.Header().Set("Authorization", "Bearer "+token.Reveal())
		res, err := client.CallUnary(ctx, r)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(res.Msg.Value, res.Header().Get("RateLimit")[:13])
	}
	call()
	if _, err := keys.Revoke(ctx, apikey.Actor{ID: "ops"}, key.ID, "leaked"); err != nil {
		panic(err)
	}
	call()
	// Output:
	// things of acme "minute";r=59
	// unauthenticated: This API key was revoked, which is final. Create a new one.
}
