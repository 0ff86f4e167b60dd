package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// shared is the server of this test binary: starting one takes a second. It is
// the only state of the package.
var shared struct {
	mu     sync.Mutex
	server *Server
	made   atomic.Int64 // databases
}

// Main runs the tests of a package and then ends the server that [DSN] started.
// Without it the server ends with the process all the same, but its directory
// is left to a later test to remove.
func Main(m *testing.M) {
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if s := shared.server; s != nil {
		s.end(os.Kill)
		_ = os.RemoveAll(s.dir)
	}
	os.Exit(code)
}

// DSN returns the name of an empty database for the test, on a server that all
// tests of the binary share. That server does not sync: it is fast, and no test
// of durability. See [Start] for one that does.
func DSN(t testing.TB) string {
	t.Helper()
	admin, name := os.Getenv("LATCHKEY_TEST_PG_DSN"), fmt.Sprintf("latchkey_test_%d_%d", os.Getpid(), shared.made.Add(1))
	if admin == "" {
		admin = sharedServer(t).DSN()
	}
	run(t, context.WithoutCancel(t.Context()), admin, "CREATE DATABASE "+name)
	t.Cleanup(func() { run(t, context.Background(), admin, "DROP DATABASE "+name+" WITH (FORCE)") })
	return named(t, admin, name)
}

// named returns the DSN of another database of the same server.
func named(t testing.TB, dsn, database string) string {
	t.Helper()
	if !strings.Contains(dsn, "://") {
		return dsn + " dbname=" + database // the last one counts
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal("pgtest: LATCHKEY_TEST_PG_DSN is no URL")
	}
	u.Path = "/" + database
	return u.String()
}

// Pool returns a pool on [DSN] that is closed with the test.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func sharedServer(t testing.TB) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		s := prepare(t)
		s.args = []string{"-c", "fsync=off", "-c", "full_page_writes=off"}
		s.Start(t)
		shared.server = s
	}
	return shared.server
}

func run(t testing.TB, ctx context.Context, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err == nil {
		_, err = conn.Exec(ctx, sql)
		_ = conn.Close(ctx)
	}
	if err != nil {
		t.Fatalf("pgtest: %s: %v", sql, err)
	}
}
