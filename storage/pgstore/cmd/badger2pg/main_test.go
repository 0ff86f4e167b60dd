package main

import (
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestADirectoryIsMoved(t *testing.T) {
	dir, dsn := t.TempDir(), pgtest.DSN(t)
	from, err := badgerstore.Open(dir, badgerstore.Options{})
	must(t, err)
	keys, err := latchkey.New(from, latchkey.Options{})
	must(t, err)
	k, _, err := keys.Create(t.Context(), apikey.Actor{ID: "ann"}, latchkey.NewKey{Name: "n", Owner: "acme"})
	must(t, err)
	must(t, keys.Close(t.Context()))

	var out strings.Builder
	if err := run(t.Context(), []string{"-schema", "api keys", dir}, dsn, &out); err == nil {
		t.Error("a directory that a process uses is copied")
	}
	must(t, from.Close())
	if err := run(t.Context(), []string{t.TempDir()}, dsn, &out); err == nil || !strings.Contains(err.Error(), "no directory of badgerstore") {
		t.Errorf("an empty directory is taken for a store: %v", err)
	}
	must(t, run(t.Context(), []string{"-schema", "api keys", dir}, dsn, &out))

	to, err := pgstore.Open(t.Context(), dsn, pgstore.Options{Schema: "api keys"})
	must(t, err)
	defer func() { must(t, to.Close()) }()
	page, err := to.List(t.Context(), storage.Query{})
	must(t, err)
	if len(page.Records) != 1 || page.Records[0].Key.ID != k.ID {
		t.Errorf("the schema has %+v, and not the key", page.Records)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
