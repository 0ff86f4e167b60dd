// Command adapters prints one table of all adapters: what each does in every case
// of middlewaretest.RunTransport, and how many lines of code it takes. It runs the
// tests of the adapters and reads what their clients saw, so that no adapter is
// proved here otherwise than at home.
//
// It is a fault, and the exit status is 1, if a case fails, or if a client is told
// anything else than over net/http: the code, the header fields and what a refusal
// says. The status is compared with that of the code, in the adapter's own tests.
// What a transport cannot do is declared in its tests, and shown in its cell.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

// adapter is a test of an adapter that runs the suite.
type adapter struct{ name, dir, test string }

// adapters are the columns of the table. All are compared with the first.
var adapters = []adapter{
	{"net/http", "middleware", "TestTransportHTTP1"},
	{"HTTP/2", "middleware", "TestTransportHTTP2"},
	{"gin", "middleware/latchgin", "TestTransport"},
	{"echo", "middleware/latchecho", "TestTransport"},
	{"fiber", "middleware/latchfiber", "TestTransport"},
	{"huma", "middleware/latchhuma", "TestTransport"},
	{"connect", "middleware/latchconnect", "TestTransport"},
	{"connect, streams", "middleware/latchconnect", "TestTransportOfStreams"},
	{"grpc-web", "middleware/latchconnect", "TestTransportOfWeb"},
	{"grpc by connect", "middleware/latchconnect", "TestTransportOfGRPC"},
	{"grpc, unary", "middleware/latchgrpc", "TestTransport"},
	{"grpc, streams", "middleware/latchgrpc", "TestTransportOfStreams"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	t, err := run(ctx, "../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, "adapters:", err)
		os.Exit(1)
	}
	fmt.Print(t)
	if len(t.faults) > 0 {
		os.Exit(1)
	}
}
