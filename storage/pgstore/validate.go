package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNotMigrated says that the schema is not, or not yet, what this program
// needs: run [Migrate].
var ErrNotMigrated = errors.New("run pgstore.Migrate, or set Options.AutoMigrate")

// oldestServer is the oldest version of PostgreSQL with everything that is used
// here.
const oldestServer = 130000

// Validate checks that the server is one that this package knows, and that the
// schema is at the version that this program needs, or at a newer one that
// declares this program compatible. It changes nothing. [New] and [Open] call
// it.
func Validate(ctx context.Context, pool *pgxpool.Pool, o Options) error {
	if err := o.prepare(); err != nil {
		return err
	}
	if err := checkMode(pool); err != nil {
		return err
	}
	if err := validate(ctx, pool, o.Schema); err != nil {
		return failed(ctx, "validate", err)
	}
	return nil
}

func validate(ctx context.Context, q querier, schema string) error {
	var version int
	var encoding string
	err := q.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding')`).Scan(&version, &encoding)
	switch {
	case err != nil:
		return err
	case version < oldestServer:
		return fmt.Errorf("the server's version is %d, at least %d is needed", version/10000, oldestServer/10000)
	case encoding != "UTF8":
		return fmt.Errorf("the database is encoded in %s: keys need one in UTF8", encoding)
	}
	all, err := migrations()
	if err != nil {
		return err
	}
	done, err := applied(ctx, q, schema)
	if err != nil {
		return err
	}
	if err := done.fit(all); err != nil {
		return err
	}
	if len(done.rows) < len(all) {
		return fmt.Errorf("schema %q is at version %d, this program needs %d: %w", schema, len(done.rows), len(all), ErrNotMigrated)
	}
	return nil
}

// history is what a schema records about itself.
type history struct {
	schema bool // it exists
	rows   []appliedRow
}

type appliedRow struct {
	version  int
	name     string
	oldest   int
	checksum *string
}

// applied reads which migrations were applied, in order.
func applied(ctx context.Context, q querier, schema string) (h history, err error) {
	var table bool
	err = q.QueryRow(ctx, `SELECT
		EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text),
		EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
			WHERE n.nspname = $1::text AND c.relname = 'migrations')`, schema).Scan(&h.schema, &table)
	if err != nil || !table {
		return h, err
	}
	rows, err := q.Query(ctx, qualify(schema, `SELECT version, name, oldest, checksum FROM "latchkey".migrations ORDER BY version`))
	if err != nil {
		return h, err
	}
	h.rows, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (a appliedRow, err error) {
		err = r.Scan(&a.version, &a.name, &a.oldest, &a.checksum)
		return a, err
	})
	return h, err
}

// fit checks the applied migrations against those of this program.
func (h history) fit(all []migration) error {
	for i, a := range h.rows {
		switch {
		case a.version != i+1:
			return fmt.Errorf("migration %d was not applied, but %d (%s) was", i+1, a.version, a.name)
		case i >= len(all):
			continue
		case a.name != all[i].name || a.checksum != nil && *a.checksum != all[i].checksum:
			return fmt.Errorf("migration %s is not the %s of this program: it was changed after it had been applied, here or there", a.name, all[i].name)
		}
	}
	if n := len(h.rows); n > len(all) && h.rows[n-1].oldest > len(all) {
		return fmt.Errorf("the schema is at version %d, which takes a program that knows %d at least; this one knows %d: run a newer one",
			n, h.rows[n-1].oldest, len(all))
	}
	return nil
}
