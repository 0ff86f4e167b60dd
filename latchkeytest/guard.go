package latchkeytest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// Options are those of the program under test, so that it is tested with its own
// scopes, plans, environments and extractors. The zero value is one environment,
// "live", on any host, with the standard plans and any scope. Without a Logger
// nothing is logged.
type Options struct {
	Service latchkey.Options
	Guard   middleware.Options
}

// NewGuard returns a guard on a service of its own, with a store in memory.
// Everything is closed when the test ends. [middleware.Guard.Keys] returns the
// service.
func NewGuard(t testing.TB, o Options) *middleware.Guard {
	t.Helper()
	service, end := newService(t, o.Service)
	t.Cleanup(end)
	if o.Guard.Logger == nil {
		o.Guard.Logger = quiet
	}
	guard, err := middleware.New(service, o.Guard)
	if err != nil {
		t.Fatalf("latchkeytest: correct Options.Guard: %v", err)
	}
	t.Cleanup(func() {
		if err := guard.Close(context.Background()); err != nil {
			t.Errorf("latchkeytest: close the guard: %v", err)
		}
	})
	return guard
}

var quiet = slog.New(slog.DiscardHandler)

// newService returns a service with a store in memory, and what ends both.
func newService(t testing.TB, o latchkey.Options) (service *latchkey.Service, end func()) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet
	}
	store := memstore.New()
	service, err := latchkey.New(store, o)
	if err != nil {
		t.Fatalf("latchkeytest: correct Options.Service: %v", err)
	}
	return service, func() {
		if err := service.Close(context.Background()); err != nil {
			t.Errorf("latchkeytest: close the service: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("latchkeytest: close the store: %v", err)
		}
	}
}
