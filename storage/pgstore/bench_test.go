package pgstore_test

import (
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
	"github.com/wontopos/latchkey/storage/storetest"
)

// BenchmarkStore measures a server that syncs, on this machine, through a socket.
func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(t testing.TB) apikey.Store {
		return open(t, pgtest.Start(t).DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
	})
}
