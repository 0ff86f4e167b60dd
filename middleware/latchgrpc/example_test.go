package latchgrpc_test

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgrpc"
	"github.com/wontopos/latchkey/storage/memstore"
)

// A server whose methods need keys, except for its health.
func ExampleNew() {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = keys.Close(context.Background()) }()
	guard, err := middleware.New(keys, middleware.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = guard.Close(context.Background()) }()

	server := grpc.NewServer(latchgrpc.New(guard, latchgrpc.Methods{
		Guarded: map[string]middleware.Route{
			"/things.v1.Things/List": {Need: middleware.AllOf("things:read")},
			"/things.v1.Things/*":    {Need: middleware.AllOf("things:write")},
		},
		Public: []string{"/grpc.health.v1.Health/*"},
	})...)
	defer server.Stop()
	fmt.Println("register services, and serve")
	// Output: register services, and serve
}
