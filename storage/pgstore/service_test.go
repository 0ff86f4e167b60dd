package pgstore_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// service trusts a key for 100ms without asking again.
func service(t testing.TB, s apikey.Store, o apikey.Options) *apikey.Service {
	t.Helper()
	if o.MaxStale == 0 {
		o.MaxStale = 100 * time.Millisecond
	}
	o.Logger = quiet
	keys, err := apikey.New(s, o)
	must(t, err)
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	return keys
}

func verify(t testing.TB, keys *apikey.Service, token apikey.Token) error {
	t.Helper()
	v, err := keys.Verify(t.Context(), token.Reveal())
	if err == nil {
		v.Count(apikey.OutcomeAllowed, netip.Addr{}, "")
	}
	return err
}

func TestTwoServicesOnOneDatabaseSeeEachOthersChanges(t *testing.T) {
	dsn := pgtest.DSN(t)
	o := pgstore.Options{AutoMigrate: true, Logger: quiet}
	one, two := service(t, open(t, dsn, o), apikey.Options{}), service(t, open(t, dsn, o), apikey.Options{})
	by := apikey.Actor{ID: "ann"}
	k, token, err := one.Create(t.Context(), by, apikey.NewKey{Name: "n", Owner: "acme"})
	must(t, err)
	must(t, verify(t, two, token))
	if _, err := one.Disable(t.Context(), by, k.ID, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other service sees the key disabled", func() bool { return errors.Is(verify(t, two, token), apikey.ErrDisabled) })
	if _, err := two.Enable(t.Context(), by, k.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first service sees the key enabled", func() bool { return verify(t, one, token) == nil })
	if _, err := two.Revoke(t.Context(), by, k.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first service sees the key revoked", func() bool { return errors.Is(verify(t, one, token), apikey.ErrRevoked) })

	must(t, one.Close(t.Context())) // writes usage
	must(t, two.Close(t.Context()))
	u, err := open(t, dsn, o).Usage(t.Context(), k.ID, time.Time{})
	must(t, err)
	if u.Of(1).Counts[apikey.OutcomeAllowed] < 2 || u.Last().At.IsZero() {
		t.Errorf("the usage of both is added up: got %+v", u.Secrets)
	}
}

func TestWithoutTheServerEverythingIsUnavailable(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := open(t, server.DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
	keys := service(t, s, apikey.Options{MaxStale: time.Millisecond})
	by := apikey.Actor{ID: "ann"}
	k, token, err := keys.Create(t.Context(), by, apikey.NewKey{Name: "n", Owner: "acme"})
	must(t, err)
	must(t, verify(t, keys, token))

	server.Stop(t)
	time.Sleep(2 * time.Millisecond) // what was read is stale
	for what, err := range map[string]error{
		"verify": verify(t, keys, token),
		"revoke": func() error { _, err := keys.Revoke(t.Context(), by, k.ID, ""); return err }(),
		"list":   func() error { _, err := keys.List(t.Context(), apikey.ListRequest{}); return err }(),
	} {
		if !errors.Is(err, apikey.ErrUnavailable) {
			t.Errorf("%s: got error %v, want ErrUnavailable", what, err)
		}
	}
	if _, err := s.Poll(t.Context(), apikey.FeedQuery{}); err == nil {
		t.Error("a poll without a server succeeds")
	}
	server.Start(t)
	eventually(t, "with the server the key works again", func() bool { return verify(t, keys, token) == nil })
}
