package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
)

// tokens are the tokens of many keys in one piece of memory, so that holding
// them costs the collector nothing.
type tokens struct {
	text string
	size int
}

func (t tokens) of(i int) string { return t.text[i*t.size:][:t.size] }

// issue creates n keys and returns their tokens.
func issue(s *latchkey.Service, n int) (tokens, error) {
	var b strings.Builder
	for i := range n {
		_, token, err := s.Create(context.Background(), apikey.Actor{ID: "bench"}, latchkey.NewKey{
			Name: "bench", Owner: fmt.Sprintf("account-%d", i%1000), Scopes: []string{need},
		})
		if err != nil {
			return tokens{}, err
		}
		if i == 0 {
			b.Grow(n * len(token.Reveal()))
		}
		b.WriteString(token.Reveal())
	}
	return tokens{b.String(), b.Len() / n}, nil
}

// forgetful counts the keys whose usage was written and keeps nothing of it: what
// a store in this process remembers of a key is not what the guard takes.
type forgetful struct {
	*bulkStore
	written *atomic.Int64
}

func (f forgetful) AddUsage(_ context.Context, batch []storage.UsageDelta) error {
	f.written.Add(int64(len(batch)))
	return nil
}

// keysInUse measures our own: a key in the cache, and one that the guard has
// admitted.
func keysInUse(o *options, out *report, n int) error {
	ctx := context.Background()
	for _, what := range []string{"cache", "guard"} {
		if !o.only.MatchString(what) {
			continue
		}
		out.progress("memory: %d keys: %s", n, what)
		store := forgetful{newBulkStore(), new(atomic.Int64)}
		service, err := latchkey.New(store, latchkey.Options{CacheSize: 2 * n, FlushEvery: time.Second, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		all, err := issue(service, n)
		if err != nil {
			return err
		}
		guard, err := middleware.New(service, middleware.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		line := []string{""}
		r := middleware.Request{Fields: oneField{"Authorization", line}, Host: "api.example.com", Peer: "192.0.2.1:1234"}
		door, call := guard.Door(middleware.Route{Need: middleware.AllOf(need)}), new(middleware.Call)
		use := func(i int) error {
			if what == "cache" {
				_, err := service.Verify(ctx, all.of(i))
				return err
			}
			line[0] = "Bearer " + all.of(i)
			*call = middleware.Call{}
			if door.Decide(ctx, call, r); !call.Allowed() {
				return fmt.Errorf("key %d was answered with %v", i, call.Code())
			}
			return call.End(http.StatusOK)
		}
		before, alone := heap(), collections(o.plan.rounds)
		for i := range n {
			if err := use(i); err != nil {
				return err
			}
		}
		for due := time.Now().Add(time.Minute); what == "guard" && store.written.Load() < int64(n); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(due) {
				return fmt.Errorf("the usage of %d keys of %d was written within a minute", store.written.Load(), n)
			}
		}
		each := float64(heap()-before) / float64(n)
		ms := collections(o.plan.rounds)
		runtime.KeepAlive(all)
		_, _ = guard.Close(ctx), service.Close(ctx)
		out.row(ourTable, "(the store of "+what+")", fmt.Sprint(n), "", fmt.Sprintf("%.2f", median(alone)), fmt.Sprintf("%.2f", slices.Min(alone)))
		out.row(ourTable, what, fmt.Sprint(n), fmt.Sprintf("%.0f", each), fmt.Sprintf("%.2f", median(ms)), fmt.Sprintf("%.2f", slices.Min(ms)))
	}
	return nil
}
