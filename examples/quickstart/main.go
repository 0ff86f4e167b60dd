// Command quickstart is an API with keys, from nothing: two base URLs
// (production and sandbox), three routes, a settings page, and a database in a
// directory. Run it, and try the curl lines that it prints:
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/badgerstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	dir := flags.String("db", "quickstart.db", "`directory` of the database")
	port := flags.Int("port", 8080, "port of the production API; the sandbox takes the one after it")
	hammer := flags.Bool("hammer", false, "on a database of its own, send 65 requests with a key of the free plan, show the limit, and stop")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *hammer { // beside a quickstart that runs, and without a trace
		if *dir, err = os.MkdirTemp("", "latchkey-hammer-"); err != nil {
			return err
		}
		defer os.RemoveAll(*dir)
	}

	store, err := badgerstore.Open(*dir, badgerstore.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	// Two hosts that differ by their port: each environment's keys work on its own.
	live, err := listen(*port)
	if err != nil {
		return err
	}
	test, err := listen(live.port + 1)
	if err != nil {
		return err
	}
	keys, err := latchkey.New(store, latchkey.Options{
		Environments: []apikey.Environment{
			{Name: "live", BaseURL: live.url(), Hosts: live.hosts()},
			{Name: "test", BaseURL: test.url(), Hosts: test.hosts()},
		},
		Scopes: []apikey.Scope{
			{Name: "marketplace:read", Description: "List the APIs of the marketplace"},
			{Name: "marketplace:write", Description: "Publish an API in the marketplace"},
		},
	})
	if err != nil {
		return err
	}
	guard, err := middleware.New(keys, middleware.Options{Realm: "quickstart"})
	if err != nil {
		return err
	}
	session := admin.Loopback()
	settings, err := admin.New(keys, session.Authorize, admin.Options{Guard: guard, ExamplePath: "/v1/marketplace/apis"})
	if err != nil {
		return err
	}

	api := routes(guard)
	site := http.NewServeMux()
	site.Handle("/", api)
	site.Handle("/settings/api-keys/", http.StripPrefix("/settings/api-keys", settings))

	// Streams end when the server shuts down, because their contexts do.
	streams, endStreams := context.WithCancel(context.Background())
	serve := func(l listener, h http.Handler) *http.Server {
		s := &http.Server{
			Handler:           h,
			ReadHeaderTimeout: 10 * time.Second,
			BaseContext:       func(net.Listener) context.Context { return streams },
			ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		}
		go func() { _ = s.Serve(l.Listener) }()
		return s
	}
	servers := [2]*http.Server{serve(live, site), serve(test, api)}

	// What was counted is written when the program ends, after the last request.
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		endStreams()
		err = errors.Join(err, guard.Shutdown(ctx, nil, servers[0], servers[1]))
	}()

	if *hammer {
		return pound(ctx, keys, live.url(), out)
	}
	if err := welcome(ctx, keys, live, test, session.Link(live.url()+"/settings/api-keys/"), out); err != nil {
		return err
	}
	<-ctx.Done()
	fmt.Fprintln(out, "\nStopping: what was counted is being written.")
	return nil
}
