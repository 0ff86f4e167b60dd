package latchgrpc_test

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgrpc"
	"github.com/wontopos/latchkey/storage/memstore"
)

// A server whose methods need keys, except for one. Another one was forgotten.
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

	methods := latchgrpc.Methods{
		Guarded: map[string]middleware.Route{
			"/grpc.health.v1.Health/List": {Need: middleware.AllOf("health:read")},
		},
		Public: []string{"/grpc.health.v1.Health/Check"},
	}
	server := grpc.NewServer(latchgrpc.New(guard, methods)...)
	defer server.Stop()
	healthpb.RegisterHealthServer(server, health.NewServer())
	fmt.Println(methods.Check(server)) // before it serves
	// Output:
	// latchgrpc: Methods and the server differ: nobody may call /grpc.health.v1.Health/Watch: add it to Guarded or Public
}
