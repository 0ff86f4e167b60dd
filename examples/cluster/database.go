//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// database is the PostgreSQL that the instances share: one of our own, or, in a
// schema of our own, the one that LATCHKEY_TEST_PG_DSN names.
type database struct {
	dsn, schema, version string
	network, address     string         // where the proxies find it
	server               *pgtest.Server // nil when it is not ours
	host                 host
}

func openDatabase(ctx context.Context) (*database, error) {
	d := &database{dsn: os.Getenv("LATCHKEY_TEST_PG_DSN"), schema: fmt.Sprintf("latchkey_cluster_%d", os.Getpid())}
	if d.dsn == "" {
		err := d.host.do(func() { d.server = pgtest.Start(&d.host) })
		if err != nil {
			d.host.end()
			return nil, err
		}
		d.dsn = d.server.DSN()
	}
	config, err := pgx.ParseConfig(d.dsn)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	port := strconv.Itoa(int(config.Port))
	d.network, d.address = "tcp", net.JoinHostPort(config.Host, port)
	if strings.HasPrefix(config.Host, "/") {
		d.network, d.address = "unix", filepath.Join(config.Host, ".s.PGSQL."+port)
	}
	if err := d.ask(ctx, "SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)", &d.version); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// ask runs a statement on a connection of its own, past the proxies.
func (d *database) ask(ctx context.Context, sql string, into ...any) error {
	conn, err := pgx.Connect(ctx, d.dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if len(into) == 0 {
		_, err = conn.Exec(ctx, sql)
		return err
	}
	return conn.QueryRow(ctx, sql).Scan(into...)
}

func (d *database) kill() error  { return d.host.do(func() { d.server.Kill(&d.host) }) }
func (d *database) start() error { return d.host.do(func() { d.server.Start(&d.host) }) }

func (d *database) close() error {
	if d.server == nil {
		return d.ask(context.Background(), `DROP SCHEMA IF EXISTS "`+d.schema+`" CASCADE`)
	}
	d.host.end()
	return nil
}
