package pgstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
	"github.com/wontopos/latchkey/storage/storetest"
)

// Everything but LISTEN works through PgBouncer, whose few connections change
// hands with every transaction, and for a role whose transactions are
// serializable unless they say otherwise.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	conn, err := pgx.Connect(t.Context(), server.DSN())
	must(t, err)
	exec(t, conn, `ALTER ROLE postgres SET default_transaction_isolation = serializable`)
	exec(t, conn, `ALTER ROLE postgres SET synchronous_commit = off`) // durability is for other tests
	must(t, conn.Close(t.Context()))
	dsn := server.Bouncer(t)
	at := func(t testing.TB, schema string) *pgstore.Store {
		return open(t, dsn, pgstore.Options{Schema: schema, AutoMigrate: true, NoListen: true, Logger: quiet})
	}
	t.Run("store", func(t *testing.T) { storetest.Run(t, harnessOf(at)) })
	t.Run("services", func(t *testing.T) { pollingServices(t, at(t, "services"), at(t, "services")) })
	t.Run("limiter", func(t *testing.T) {
		l := newLimiter(t, at(t, "limits"), patient)
		r := twoDemands("key", "owner", 5, 100)
		admit(t, l, 5, r)
		if d, err := l.Take(t.Context(), r); err != nil || d.Allowed {
			t.Errorf("the sixth of five: %v, error %v", d, err)
		}
		if d, err := l.Peek(t.Context(), limiter.Request{Demands: r.Demands[1:]}); err != nil || d.Windows[0].Remaining != 95 {
			t.Errorf("got %v, error %v, want 95 remaining", d, err)
		}
	})
}

// pollingServices changes a key on one process and uses it on another, where
// nothing is pushed.
func pollingServices(t *testing.T, first, second *pgstore.Store) {
	o := latchkey.Options{Lease: latchkey.LeaseOptions{Length: 2 * time.Second, Every: 50 * time.Millisecond}}
	one, two := service(t, first, o), service(t, second, o)
	by := apikey.Actor{ID: "ann"}
	for range 5 {
		k, token, err := one.Create(t.Context(), by, latchkey.NewKey{Name: "n", Owner: "acme"})
		must(t, err)
		must(t, verify(t, two, token))
		if _, err := one.Revoke(t.Context(), by, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		if err := verify(t, two, token); !errors.Is(err, apikey.RevokedKey) {
			t.Errorf("the other service, after Revoke returned: %v", err)
		}
	}
	if h := two.Health(); h.Push || !h.Ready {
		t.Errorf("the report says push %v, ready %v, want no push", h.Push, h.Ready)
	}
}
