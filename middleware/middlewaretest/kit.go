package middlewaretest

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// patience bounds every wait of the suite. It is far longer than anything
// takes, so that a slow machine does not cause a failure.
const patience = 10 * time.Second

const (
	liveHost    = "api.example.com"
	sandboxHost = "sandbox.example.com"
)

var suite = apikey.Actor{ID: "middlewaretest"}

// kit is a service with a store of its own, for one server on any transport.
type kit struct {
	*testing.T
	store *store
	keys  *latchkey.Service
}

func newKit(t *testing.T, o middleware.Options) (*kit, *middleware.Guard) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	k := &kit{T: t, store: newStore()}
	keys, err := latchkey.New(k.store, latchkey.Options{
		Environments: apikey.LiveAndTest("https://"+liveHost, "https://"+sandboxHost),
		Logger:       quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Logger = quiet
	guard, err := middleware.New(keys, o)
	if err != nil {
		t.Fatal(err)
	}
	k.keys = keys
	t.Cleanup(func() {
		_ = guard.Close(context.Background())
		_ = keys.Close(context.Background())
	})
	return k, guard
}

// key creates a key that may read things.
func (k *kit) key(change ...func(*latchkey.NewKey)) (id, token string) {
	k.Helper()
	n := latchkey.NewKey{Name: "suite", Owner: "acme", Scopes: []string{"things:read"}}
	for _, f := range change {
		f(&n)
	}
	key, secret, err := k.keys.Create(context.Background(), suite, n)
	if err != nil {
		k.Fatal(err)
	}
	return key.ID, secret.Reveal()
}

func in(environment string) func(*latchkey.NewKey) {
	return func(n *latchkey.NewKey) { n.Environment = environment }
}

func limited(l ...apikey.Limit) func(*latchkey.NewKey) {
	return func(n *latchkey.NewKey) { n.Limits = l }
}

func bound(networks ...string) func(*latchkey.NewKey) {
	return func(n *latchkey.NewKey) {
		for _, network := range networks {
			n.Networks = append(n.Networks, netip.MustParsePrefix(network))
		}
	}
}

func (k *kit) revoke(id string) {
	k.Helper()
	if _, err := k.keys.Revoke(context.Background(), suite, id, "suite"); err != nil {
		k.Error(err)
	}
}

// wait receives a value from a channel, within patience.
func wait[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %v in vain: %s", patience, what)
		panic("unreachable")
	}
}
