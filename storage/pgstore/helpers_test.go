package pgstore_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// newStore opens a store on a database of its own.
func newStore(t testing.TB) *pgstore.Store {
	t.Helper()
	return open(t, pgtest.DSN(t), pgstore.Options{AutoMigrate: true, Logger: quiet})
}

// changeOf makes a change of a key of the given ID.
func changeOf(id string, expect uint64, edit func(k *apikey.Key)) storage.Change {
	k := apikey.Key{ID: id, Owner: "acme", Environment: "live", CreatedAt: time.Unix(1, 0), Secrets: make([]apikey.Secret, 1)}
	if edit != nil {
		edit(&k)
	}
	return storage.Change{
		Record: storage.Record{Key: k, Digests: make([]storage.Digest, 1)}, Expect: expect,
		Entry: apikey.AuditEntry{KeyID: id, Owner: k.Owner, Action: "update"},
	}
}

func revoked(k *apikey.Key) { k.RevokedAt, k.RevokedBy = time.Unix(2, 0), "ann" }

func apply(t testing.TB, s *pgstore.Store, c storage.Change) {
	t.Helper()
	if _, err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func poll(t testing.TB, s *pgstore.Store, q storage.FeedQuery) storage.FeedPage {
	t.Helper()
	p, err := s.Poll(t.Context(), q)
	must(t, err)
	return p
}

// connect opens a connection beside the store's, for what a stranger would do.
func connect(t testing.TB, s *pgstore.Store) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), s.Pool().Config().ConnConfig)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, c *pgx.Conn, sql string, args ...any) {
	t.Helper()
	_, err := c.Exec(t.Context(), sql, args...)
	must(t, err)
}

// eventually waits for what must come.
func eventually(t testing.TB, what string, there func() bool) {
	t.Helper()
	for begun := time.Now(); !there(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("%s: not after 30 seconds", what)
		}
	}
}

// waiters counts the backends of the database that wait for a lock.
func waiters(t testing.TB, c *pgx.Conn) (n int) {
	t.Helper()
	must(t, c.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n))
	return n
}

// noise does not compress.
func noise(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rand.IntN(26))
	}
	return string(b)
}
