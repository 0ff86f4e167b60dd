package pgstore_test

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

// harness keeps each store in a schema of its own of one database.
func harness(dsn string) storetest.Harness {
	return harnessOf(func(t testing.TB, schema string) *pgstore.Store {
		return open(t, dsn, pgstore.Options{Schema: schema, AutoMigrate: true, Logger: quiet})
	})
}

func harnessOf(at func(t testing.TB, schema string) *pgstore.Store) storetest.Harness {
	var made atomic.Int64
	return storetest.Harness{
		Open: func(t testing.TB) storage.Store { return at(t, fmt.Sprintf(`Store "%d"`, made.Add(1))) },
		Reopen: func(t testing.TB, s storage.Store) storage.Store {
			must(t, s.(*pgstore.Store).Close())
			return at(t, s.(*pgstore.Store).Schema())
		},
		Compact: func(t testing.TB, s storage.Store) {
			must(t, s.(*pgstore.Store).Maintain(t.Context()))
			must(t, s.(*pgstore.Store).Vacuum(t.Context()))
		},
		Corrupt: func(t testing.TB, s storage.Store, id string) { must(t, s.(*pgstore.Store).Damage(t.Context(), id)) },
		Second:  func(t testing.TB, s storage.Store) storage.Store { return at(t, s.(*pgstore.Store).Schema()) },
		Feeds:   true,
		Batches: true,
		Closes:  true,
	}
}

func open(t testing.TB, dsn string, o pgstore.Options) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
