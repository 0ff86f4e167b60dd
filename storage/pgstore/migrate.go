package pgstore

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Migrations returns the migrations, for programs that apply them with goose,
// atlas, Flyway or by hand: numbered SQL files, to be run in order, each once
// and in a transaction. They are written for the schema "latchkey", which must
// exist; for another schema, replace "latchkey" including its quotes.
// [Validate] accepts a schema that was migrated this way.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the folder is part of this package
	}
	return sub
}

// migration is one file.
type migration struct {
	version  int
	name     string
	sql      string // for the schema "latchkey"
	checksum string
}

// migrations returns the files in their order; versions count from 1.
func migrations() ([]migration, error) {
	entries, err := fs.ReadDir(Migrations(), ".") // sorted by name
	if err != nil {
		return nil, err
	}
	var all []migration
	for i, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s is not number %d", e.Name(), i+1)
		}
		text, err := fs.ReadFile(Migrations(), e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		all = append(all, migration{version, e.Name(), string(text), hex.EncodeToString(sum[:])})
	}
	return all, nil
}

// Migrate brings the schema to the version that this program needs, and creates
// it if it does not exist. All of it is one transaction. Many instances may
// call it at once: they take turns, and later ones find nothing left to do.
// Then it writes, in short transactions, what only this program can derive from
// the records (see [New]); if it is interrupted there, [New] or the next call
// continues.
//
// It needs the right to create tables in the schema and, if there is no schema,
// to create one.
func Migrate(ctx context.Context, pool *pgxpool.Pool, o Options) error {
	if err := o.prepare(); err != nil {
		return err
	}
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, lockNumber(o.Schema)); err != nil {
			return err
		}
		script, err := pending(ctx, tx, o.Schema)
		if err != nil || script == "" {
			return err
		}
		// Several statements at once need the simple protocol, whatever the pool
		// uses; there are no parameters.
		return tx.Conn().PgConn().Exec(ctx, script).Close()
	})
	if err == nil {
		err = (&names{pool, render(o.Schema), o.Logger}).catchUp(ctx)
	}
	if err != nil {
		return failed(ctx, "migrate", err)
	}
	return nil
}

// MigrateDryRun returns the SQL that [Migrate] would run now, or "" if there is
// nothing to do. It can be run by hand, in one transaction.
func MigrateDryRun(ctx context.Context, pool *pgxpool.Pool, o Options) (string, error) {
	if err := o.prepare(); err != nil {
		return "", err
	}
	script, err := pending(ctx, pool, o.Schema)
	if err != nil {
		return "", failed(ctx, "migrate", err)
	}
	return script, nil
}

// pending returns the SQL that is left to run in a schema.
func pending(ctx context.Context, q querier, schema string) (string, error) {
	all, err := migrations()
	if err != nil {
		return "", err
	}
	done, err := applied(ctx, q, schema)
	if err != nil {
		return "", err
	}
	if err := done.fit(all); err != nil {
		return "", err
	}
	var script strings.Builder
	if !done.schema {
		fmt.Fprintf(&script, "CREATE SCHEMA %s;\n", pgx.Identifier{schema}.Sanitize())
	}
	if len(done.rows) >= len(all) {
		return "", nil
	}
	for _, m := range all[len(done.rows):] {
		script.WriteString(qualify(schema, m.sql))
		fmt.Fprintf(&script, "UPDATE %s SET checksum = '%s' WHERE version = %d;\n",
			pgx.Identifier{schema, "migrations"}.Sanitize(), m.checksum, m.version)
	}
	return script.String(), nil
}

// lockNumber returns the number of the advisory lock that migrations of a
// schema hold.
func lockNumber(schema string) int64 {
	sum := sha256.Sum256([]byte("latchkey migrations of " + schema))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}
