package latchkey_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

var (
	ops  = apikey.Actor{ID: "ops@example.com", From: "192.0.2.1"}
	home = netip.MustParseAddr("10.1.2.3")

	fromHome = &engine.Use{Source: home, UserAgent: "curl/8.5.0", Route: "GET /v1/marketplace/apis"}
)

// plans is a PlanSource that tests can change.
type plans map[string]apikey.Plan

func (p plans) Plan(_ context.Context, name string) (apikey.Plan, error) {
	if name == "down" {
		return apikey.Plan{}, errors.New("billing: connection refused")
	}
	if plan, ok := p[name]; ok {
		return plan, nil
	}
	return apikey.Plan{}, apikey.NotFound
}

// newService returns a service on a store of its own, closed with the test.
func newService(t testing.TB, o latchkey.Options) *latchkey.Service {
	t.Helper()
	return serviceOn(t, memstore.New(), o)
}

func serviceOn(t testing.TB, store storage.Store, o latchkey.Options) *latchkey.Service {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := latchkey.New(store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// create makes a key with a scope and returns it with its token's text.
func create(t testing.TB, s *latchkey.Service, change ...func(*latchkey.NewKey)) (apikey.Key, string) {
	t.Helper()
	n := latchkey.NewKey{Name: "production-backend", Owner: "acme", Scopes: []string{"marketplace:read"}}
	for _, f := range change {
		f(&n)
	}
	k, token, err := s.Create(t.Context(), ops, n)
	if err != nil {
		t.Fatal(err)
	}
	return k, token.Reveal()
}

// want fails the test unless err is of the given kind; nil wants success.
func want(t testing.TB, rule string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got %v, want %v", rule, err, kind)
	}
}

func verify(t testing.TB, s *latchkey.Service, token string) error {
	t.Helper()
	_, err := s.Verify(t.Context(), token)
	return err
}

// counting counts the reads of a store.
type counting struct {
	storage.Store
	gets atomic.Int64
}

func (c *counting) Unwrap() storage.Store { return c.Store }

func (c *counting) Get(ctx context.Context, id string) (storage.Record, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, id)
}

// longer returns the size of a test in its short form, or in its long one.
func longer(short, long int) int {
	if os.Getenv("LATCHKEY_LONG") != "" {
		return long
	}
	return short
}
