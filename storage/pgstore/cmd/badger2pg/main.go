// Badger2pg moves a service from package badgerstore to PostgreSQL: it copies
// everything in a directory into an empty schema, which it makes if it is missing,
// and compares the two.
//
//	DATABASE_URL=postgres://… badger2pg [-schema latchkey] DIRECTORY
//
// Stop the service first: the directory's lock admits one process. The directory
// keeps everything, and opening it brings it up to the format of this version.
// [pgstore.Store.CopyFrom] says what is copied, and what an error leaves behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/wontopos/latchkey/storage/badgerstore"
	"github.com/wontopos/latchkey/storage/pgstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv("DATABASE_URL"), os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "badger2pg:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, dsn string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("badger2pg", flag.ContinueOnError)
	schema := flags.String("schema", "latchkey", "the schema to fill")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: DATABASE_URL=postgres://… badger2pg [-schema latchkey] DIRECTORY")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir := flags.Arg(0)
	if flags.NArg() != 1 || dsn == "" {
		flags.Usage()
		return errors.New("name one directory, and the database in DATABASE_URL")
	}
	if _, err := os.Stat(filepath.Join(dir, "MANIFEST")); err != nil { // Open would make an empty store
		return fmt.Errorf("this is no directory of badgerstore: %w", err)
	}
	from, err := badgerstore.Open(dir, badgerstore.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := pgstore.Open(ctx, dsn, pgstore.Options{Schema: *schema, AutoMigrate: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := to.CopyFrom(ctx, from); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "The schema %q has all keys of %s, their audit trail and usage. Both were compared.\n", *schema, dir)
	return err
}
