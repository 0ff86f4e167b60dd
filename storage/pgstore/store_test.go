package pgstore_test

import (
	"testing"

	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
	"github.com/wontopos/latchkey/storage/storetest"
)

// With small bounds the suite also sees pages that are short, and terms that are
// too many to look up.
func TestStoreThatLooksAtLittle(t *testing.T) {
	dsn := pgtest.DSN(t)
	storetest.Run(t, harnessOf(func(t testing.TB, schema string) *pgstore.Store {
		s := open(t, dsn, pgstore.Options{Schema: schema, AutoMigrate: true, Logger: quiet})
		s.LookAtLittle()
		return s
	}))
}

func TestStore(t *testing.T) { storetest.Run(t, harness(pgtest.DSN(t))) }
