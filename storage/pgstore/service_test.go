package pgstore_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

func service(t testing.TB, s storage.Store, o latchkey.Options) *latchkey.Service {
	t.Helper()
	o.Logger = quiet
	keys, err := latchkey.New(s, o)
	must(t, err)
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	return keys
}

func verify(t testing.TB, keys *latchkey.Service, token latchkey.Token) error {
	t.Helper()
	guard, err := middleware.New(keys, middleware.Options{Logger: quiet})
	must(t, err)
	var call middleware.Call
	guard.Door(middleware.Route{Need: middleware.AnyKey()}).Decide(t.Context(), &call, middleware.Request{Fields: http.Header{"Authorization": {"Bearer " + token.Reveal()}}})
	if call.Allowed() {
		return call.End(http.StatusOK)
	}
	return call.Code()
}

func TestTwoServicesOnOneDatabaseSeeEachOthersChanges(t *testing.T) {
	dsn := pgtest.DSN(t)
	o := pgstore.Options{AutoMigrate: true, Logger: quiet}
	one, two := service(t, open(t, dsn, o), latchkey.Options{}), service(t, open(t, dsn, o), latchkey.Options{})
	by := apikey.Actor{ID: "ann"}
	k, token, err := one.Create(t.Context(), by, latchkey.NewKey{Name: "n", Owner: "acme"})
	must(t, err)
	must(t, verify(t, two, token))
	// A change has returned when every process has it: nothing to wait for.
	if _, err := one.Disable(t.Context(), by, k.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := verify(t, two, token); !errors.Is(err, apikey.DisabledKey) {
		t.Errorf("the other service, after Disable returned: %v", err)
	}
	if _, err := two.Enable(t.Context(), by, k.ID); err != nil {
		t.Fatal(err)
	}
	must(t, verify(t, one, token))
	_, newer, err := one.Rotate(t.Context(), by, k.ID, latchkey.RotateOptions{})
	must(t, err)
	must(t, verify(t, two, newer))
	if _, err := two.Revoke(t.Context(), by, k.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	if err := verify(t, one, token); !errors.Is(err, apikey.RevokedKey) {
		t.Errorf("the first service, after Revoke returned: %v", err)
	}

	must(t, one.Close(t.Context())) // writes usage
	must(t, two.Close(t.Context()))
	u, err := open(t, dsn, o).Usage(t.Context(), k.ID, time.Time{})
	must(t, err)
	if u.Of(1).Counts.Allowed < 2 || u.Last().At.IsZero() {
		t.Errorf("the usage of both is added up: got %+v", u.Secrets)
	}
}

// A revocation is in force on every instance when Revoke returns, in the time of
// a few round trips: the store pushes.
func TestRevocationsOfManyInstances(t *testing.T) {
	dsn, by := pgtest.DSN(t), apikey.Actor{ID: "ann"}
	var services []*latchkey.Service
	for range 3 {
		services = append(services, service(t, open(t, dsn, pgstore.Options{AutoMigrate: true, Logger: quiet}), latchkey.Options{}))
	}
	for _, s := range services {
		eventually(t, "all instances know each other", func() bool { return s.Health().Instances == 3 })
	}
	rounds := 40
	if os.Getenv("LATCHKEY_LONG") != "" {
		rounds = 2000
	}
	var took []time.Duration
	for i := range rounds {
		k, token, err := services[i%3].Create(t.Context(), by, latchkey.NewKey{Name: "n", Owner: "acme"})
		must(t, err)
		for _, s := range services {
			must(t, verify(t, s, token)) // fresh, on each of them
		}
		began := time.Now()
		_, err = services[(i+1)%3].Revoke(t.Context(), by, k.ID, "")
		must(t, err)
		took = append(took, time.Since(began))
		for _, s := range services {
			if err := verify(t, s, token); !errors.Is(err, apikey.RevokedKey) {
				t.Fatalf("an instance answers %v after Revoke returned", err)
			}
		}
	}
	slices.Sort(took)
	t.Logf("Revoke until every instance has it, %d times: p50 %v, p99 %v, longest %v", rounds, took[rounds/2], took[rounds*99/100], took[rounds-1])
}

// Without the server, cached keys work to the end of the lease and then not any
// more; nobody is told that a key is bad.
func TestWithoutTheServerTheLeaseEnds(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := open(t, server.DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
	keys := service(t, s, latchkey.Options{Lease: latchkey.LeaseOptions{Length: time.Second}})
	by := apikey.Actor{ID: "ann"}
	k, token, err := keys.Create(t.Context(), by, latchkey.NewKey{Name: "n", Owner: "acme"})
	must(t, err)
	must(t, verify(t, keys, token))

	server.Stop(t)
	stopped := time.Now()
	eventually(t, "the lease ends", func() bool {
		at := time.Now()
		err := verify(t, keys, token)
		switch {
		case err == nil && at.Sub(stopped) > time.Second:
			t.Errorf("the key was accepted %v after the server had stopped", at.Sub(stopped))
		case err != nil && !errors.Is(err, apikey.Unavailable):
			t.Errorf("verify: %v", err)
		}
		return err != nil
	})
	for what, err := range map[string]error{
		"revoke": func() error { _, err := keys.Revoke(t.Context(), by, k.ID, ""); return err }(),
		"list":   func() error { _, err := keys.List(t.Context(), latchkey.ListRequest{}); return err }(),
	} {
		if !errors.Is(err, apikey.Unavailable) {
			t.Errorf("%s: got error %v, want ErrUnavailable", what, err)
		}
	}
	if _, err := s.Poll(t.Context(), storage.FeedQuery{}); err == nil {
		t.Error("a poll without a server succeeds")
	}
	server.Start(t)
	eventually(t, "with the server the key works again", func() bool { return verify(t, keys, token) == nil })
}
