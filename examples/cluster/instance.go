//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/redisstore"
	"github.com/wontopos/latchkey/storage/redisstore/rueidisstore"
)

// asInstance is the variable that makes this program one instance of the API;
// it holds an instanceConfig.
const asInstance = "LATCHKEY_CLUSTER_INSTANCE"

type instanceConfig struct {
	Name, DSN, Proxy, Schema string
	Redis                    string // where limits are counted; if empty, in PostgreSQL
	Lease                    time.Duration
	Async                    bool
}

// instances is how many there are, and limitN and limitWindow what each of the
// limited keys may do on all of them together.
const (
	instances   = 3
	limitN      = 60
	limitWindow = 5 * time.Second
)

// addresses is what an instance prints when it serves.
type addresses struct{ API, Control string }

// counted counts what an instance asks of the store.
type counted struct {
	*pgstore.Store
	reads, polls atomic.Int64
}

func (c *counted) Get(ctx context.Context, id string) (storage.Record, error) {
	c.reads.Add(1)
	return c.Store.Get(ctx, id)
}

func (c *counted) Poll(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	c.polls.Add(1)
	return c.Store.Poll(ctx, q)
}

// serve is one instance: what a server of yours would do. It ends with its
// standard input.
func serve(ctx context.Context, text string) error {
	var config instanceConfig
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	pg, err := pgxpool.ParseConfig(config.DSN)
	if err != nil {
		return err
	}
	pg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", config.Proxy)
	}
	pool, err := pgxpool.NewWithConfig(ctx, pg)
	if err != nil {
		return err
	}
	defer pool.Close()
	store, err := pgstore.New(ctx, pool, pgstore.Options{Schema: config.Schema, AutoMigrate: true, Logger: log})
	if err != nil {
		return err
	}
	defer store.Close()
	shared := &counted{Store: store}
	keys, err := latchkey.New(shared, latchkey.Options{
		Plans: []apikey.Plan{
			{Name: "load", Unlimited: true},
			{Name: "limited", Limits: []apikey.Limit{{Name: "five-seconds", N: limitN, Window: limitWindow}}},
		},
		Lease:  latchkey.LeaseOptions{Instance: config.Name, Length: config.Lease, Async: config.Async},
		Logger: log,
	})
	if err != nil {
		return err
	}
	// The default of 50 ms is better for the clients of a server of yours. Here
	// it would make a machine that is busy look like an outage, in which
	// instances admit their share on their own.
	const deadline = time.Second
	var counts limiter.Limiter
	if config.Redis != "" {
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{config.Redis}})
		if err != nil {
			return err
		}
		defer client.Close()
		inRedis, err := rueidisstore.NewLimiter(client, redisstore.LimiterOptions{Timeout: deadline, Logger: log})
		if err != nil {
			return err
		}
		defer inRedis.Close(context.WithoutCancel(ctx))
		counts = inRedis
	} else if counts, err = pgstore.NewLimiter(store, pgstore.LimiterOptions{Timeout: deadline, Logger: log}); err != nil {
		return err
	}
	limits, err := limiter.NewShared(counts, limiter.SharedOptions{Instances: instances, Timeout: deadline, Logger: log})
	if err != nil {
		return err
	}
	// On a Redis Cluster, the limits of an owner and of its keys have to be on one server.
	guard, err := middleware.New(keys, middleware.Options{Limiter: limits, HashTags: config.Redis != "", Logger: log})
	if err != nil {
		return err
	}

	api := http.NewServeMux()
	api.Handle("GET /v1/hello", guard.Require(middleware.AllOf("hello:read"))(http.HandlerFunc(hello)))
	var at addresses
	for _, s := range []struct {
		address *string
		h       http.Handler
	}{{&at.API, api}, {&at.Control, control(keys, shared, limits)}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		*s.address = "http://" + l.Addr().String()
		go func() { _ = (&http.Server{Handler: s.h, ReadHeaderTimeout: time.Minute}).Serve(l) }()
	}
	if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	closing, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_ = guard.Close(closing)
	_ = keys.Close(closing) // fails when the database is away
	return nil
}

func hello(w http.ResponseWriter, r *http.Request) {
	p, _ := middleware.PrincipalFrom(r.Context())
	fmt.Fprintln(w, "Hello,", p.Owner())
}

// report is an instance's account of itself.
type report struct {
	latchkey.Health
	Reads, Polls int64
	Alone        uint64 // decisions about limits without the server that counts
	Degraded     bool   // and so they are now
}

type issued struct{ ID, Token string }

// control is how the parent steers an instance. It asks nobody who they are: a
// server of yours has package admin for this.
func control(keys *latchkey.Service, store *counted, limits *limiter.Shared) http.Handler {
	by := apikey.Actor{ID: "cluster"}
	answer := func(w http.ResponseWriter, v any, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		_, _, alone := limits.Decisions()
		answer(w, report{keys.Health(), store.reads.Load(), store.polls.Load(), alone, limits.Degraded() != nil}, nil)
	})
	mux.HandleFunc("POST /keys", func(w http.ResponseWriter, r *http.Request) {
		k, token, err := keys.Create(r.Context(), by, latchkey.NewKey{
			Name: "load", Owner: "cluster", Plan: r.FormValue("plan"), Scopes: []string{"hello:read"},
		})
		answer(w, issued{k.ID, token.Reveal()}, err)
	})
	mux.HandleFunc("POST /keys/{id}/rotate", func(w http.ResponseWriter, r *http.Request) {
		k, token, err := keys.Rotate(r.Context(), by, r.PathValue("id"), latchkey.RotateOptions{})
		answer(w, issued{k.ID, token.Reveal()}, err)
	})
	mux.HandleFunc("POST /keys/{id}/finish", func(w http.ResponseWriter, r *http.Request) {
		_, err := keys.FinishRotation(r.Context(), by, r.PathValue("id"), true)
		answer(w, true, err)
	})
	mux.HandleFunc("GET /keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		k, err := keys.Get(r.Context(), r.PathValue("id"))
		answer(w, !k.RevokedAt.IsZero(), err)
	})
	mux.HandleFunc("DELETE /keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, err := keys.Revoke(r.Context(), by, r.PathValue("id"), "")
		answer(w, true, err)
	})
	return mux
}
