package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

func TestASchemaIsMigratedOnceHoweverManyDoIt(t *testing.T) {
	pool := pgtest.Pool(t)
	o := pgstore.Options{}
	if err := pgstore.Validate(t.Context(), pool, o); !errors.Is(err, pgstore.ErrNotMigrated) {
		t.Errorf("an empty database: got error %v, want ErrNotMigrated", err)
	}
	if _, err := pgstore.New(t.Context(), pool, o); !errors.Is(err, pgstore.ErrNotMigrated) {
		t.Errorf("New on an empty database: got error %v, want ErrNotMigrated", err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := pgstore.Migrate(t.Context(), pool, o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	must(t, pgstore.Migrate(t.Context(), pool, o)) // again
	must(t, pgstore.Validate(t.Context(), pool, o))
	if n := count(t, pool, `SELECT count(*) FROM latchkey.migrations WHERE checksum IS NOT NULL`); n != 10 {
		t.Errorf("%d migrations are written down, want 10", n)
	}
	if n := count(t, pool, `SELECT count(*) FROM latchkey.feed_head`); n != 1 {
		t.Errorf("the feed has %d counters, want 1", n)
	}
}

// What was made by the program before gets what is new, and keeps what it has.
func TestAnOlderSchemaIsBroughtUpToDate(t *testing.T) {
	files, err := fs.Glob(pgstore.Migrations(), "*.sql")
	must(t, err)
	script := `CREATE SCHEMA latchkey; `
	for version, file := range files[:len(files)-1] {
		text, err := fs.ReadFile(pgstore.Migrations(), file)
		must(t, err)
		script += string(text)
		pool := pgtest.Pool(t)
		_, err = pool.Exec(t.Context(), script+`; UPDATE latchkey.feed_head SET head = 7`, pgx.QueryExecModeSimpleProtocol)
		must(t, err)
		if err := pgstore.Validate(t.Context(), pool, pgstore.Options{}); !errors.Is(err, pgstore.ErrNotMigrated) {
			t.Errorf("a schema at version %d of %d: got error %v, want ErrNotMigrated", version+1, len(files), err)
		}
		must(t, pgstore.Migrate(t.Context(), pool, pgstore.Options{}))
		must(t, pgstore.Validate(t.Context(), pool, pgstore.Options{}))
		if n := count(t, pool, `SELECT head + (SELECT count(*) FROM latchkey.limits) FROM latchkey.feed_head`); n != 7 {
			t.Errorf("from version %d: got %d, want the feed where it was", version+1, n)
		}
	}
}

func TestADryRunChangesNothingAndSaysAll(t *testing.T) {
	pool := pgtest.Pool(t)
	o := pgstore.Options{Schema: "by hand"}
	script, err := pgstore.MigrateDryRun(t.Context(), pool, o)
	must(t, err)
	if n := count(t, pool, `SELECT count(*) FROM pg_namespace WHERE nspname = 'by hand'`); n != 0 {
		t.Error("a dry run made the schema")
	}
	_, err = pool.Exec(t.Context(), script, pgx.QueryExecModeSimpleProtocol) // as psql does
	must(t, err)
	must(t, pgstore.Validate(t.Context(), pool, o))
	if script, err = pgstore.MigrateDryRun(t.Context(), pool, o); err != nil || script != "" {
		t.Errorf("after that there is nothing left to do: got %q, error %v", script, err)
	}
}

func TestTheFilesAreForOtherToolsToo(t *testing.T) {
	pool := pgtest.Pool(t)
	names, err := fs.Glob(pgstore.Migrations(), "*.sql")
	must(t, err)
	_, err = pool.Exec(t.Context(), `CREATE SCHEMA latchkey`)
	must(t, err)
	for _, name := range names {
		text, err := fs.ReadFile(pgstore.Migrations(), name)
		must(t, err)
		if !strings.HasPrefix(string(text), "-- +goose Up\n") {
			t.Errorf("%s: goose wants its mark", name)
		}
		_, err = pool.Exec(t.Context(), string(text), pgx.QueryExecModeSimpleProtocol)
		must(t, err)
	}
	open(t, pool.Config().ConnString(), pgstore.Options{Logger: quiet}) // not migrated by this package
}

func TestAChangedMigrationIsNoticed(t *testing.T) {
	pool := migrated(t)
	_, err := pool.Exec(t.Context(), `UPDATE latchkey.migrations SET checksum = 'ab' || checksum`)
	must(t, err)
	for what, err := range map[string]error{
		"Validate": pgstore.Validate(t.Context(), pool, pgstore.Options{}),
		"Migrate":  pgstore.Migrate(t.Context(), pool, pgstore.Options{}),
	} {
		if err == nil || !strings.Contains(err.Error(), "was changed after it had been applied") {
			t.Errorf("%s with another checksum: got error %v", what, err)
		}
	}
}

func TestANewerSchemaSaysWhoMayUseIt(t *testing.T) {
	pool := migrated(t)
	known, err := fs.Glob(pgstore.Migrations(), "*.sql")
	must(t, err)
	next := len(known) + 1
	for _, tc := range []struct {
		oldest int
		good   bool
	}{{len(known), true}, {next, false}} {
		_, err := pool.Exec(t.Context(), `INSERT INTO latchkey.migrations (version, name, oldest) VALUES ($1, 'next.sql', $2)
			ON CONFLICT (version) DO UPDATE SET oldest = excluded.oldest`, next, tc.oldest)
		must(t, err)
		err = pgstore.Validate(t.Context(), pool, pgstore.Options{})
		merr := pgstore.Migrate(t.Context(), pool, pgstore.Options{})
		if (err == nil) != tc.good || (merr == nil) != tc.good || !tc.good && !strings.Contains(err.Error(), "run a newer one") {
			t.Errorf("a schema of version %d for programs that know %d: validate %v, migrate %v", next, tc.oldest, err, merr)
		}
	}
	_, err = pool.Exec(t.Context(), `DELETE FROM latchkey.migrations WHERE version = 1`)
	must(t, err)
	if err := pgstore.Validate(t.Context(), pool, pgstore.Options{}); err == nil {
		t.Error("a schema whose first migration is missing is accepted")
	}
}

func TestTheNameOfASchemaIsTakenLiterally(t *testing.T) {
	dsn := pgtest.DSN(t)
	for _, schema := range []string{"Keys", "keys", `ke"ys`, `";DROP SCHEMA keys CASCADE;--`, "a.b", "sch\u00e9ma'", "$1", strings.Repeat("x", 63)} {
		s := open(t, dsn, pgstore.Options{Schema: schema, AutoMigrate: true, Logger: quiet})
		apply(t, s, changeOf("key", 0, nil)) // a conflict, were it another's
		if n := count(t, s.Pool(), `SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
			WHERE c.relname = 'keys' AND n.nspname = $1`, schema); n != 1 {
			t.Errorf("schema %q has %d tables of keys", schema, n)
		}
	}
	for _, schema := range []string{strings.Repeat("x", 64), "a\x00b", "\xff"} {
		if _, err := pgstore.Open(t.Context(), dsn, pgstore.Options{Schema: schema}); err == nil || !strings.Contains(err.Error(), "Options.Schema") {
			t.Errorf("schema %q: got error %v, want one that names Options.Schema", schema, err)
		}
	}
}

// A role that only uses the store needs no more than the documentation says.
func TestARoleThatCannotMakeTablesUsesTheStore(t *testing.T) {
	pool := migrated(t)
	role := fmt.Sprintf("app_%s", pool.Config().ConnConfig.Database) // roles are the whole server's
	for _, sql := range []string{
		"CREATE ROLE " + role + " LOGIN",
		"GRANT USAGE ON SCHEMA latchkey TO " + role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA latchkey TO " + role,
	} {
		_, err := pool.Exec(t.Context(), sql)
		must(t, err)
	}
	t.Cleanup(func() {
		_, _ = pool.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role, pgx.QueryExecModeSimpleProtocol)
	})
	config := pool.Config()
	config.ConnConfig.User = role
	theirs, err := pgxpool.NewWithConfig(t.Context(), config)
	must(t, err)
	t.Cleanup(theirs.Close)
	s, err := pgstore.New(t.Context(), theirs, pgstore.Options{AutoMigrate: true, Logger: quiet})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	apply(t, s, changeOf("key", 0, revoked))
	purge := changeOf("key", 1, revoked)
	purge.Delete = true
	apply(t, s, purge)
	must(t, s.Maintain(t.Context()))
	poll(t, s, storage.FeedQuery{Instance: "one", Acked: 2, Lease: time.Second})
}

func migrated(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.Pool(t)
	must(t, pgstore.Migrate(t.Context(), pool, pgstore.Options{}))
	return pool
}

func count(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) (n int) {
	t.Helper()
	must(t, pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}
