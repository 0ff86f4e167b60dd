package pgstore_test

import (
	"testing"
	"time"

	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
	"github.com/wontopos/latchkey/storage/storetest"
)

// BenchmarkStore measures a server that syncs, on this machine, through a socket.
func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(t testing.TB) storage.Store {
		return open(t, pgtest.Start(t).DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
	})
}

// BenchmarkPoll is what each instance does once a second: it registers, with a
// sync, and reads that nothing is new.
func BenchmarkPoll(b *testing.B) {
	s := open(b, pgtest.Start(b).DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
	apply(b, s, changeOf("key", 0, nil))
	for b.Loop() {
		poll(b, s, storage.FeedQuery{Instance: "one", Acked: 1, After: 1, Lease: time.Second})
	}
}

func BenchmarkList100k(b *testing.B) {
	storetest.BenchList(b, func(t testing.TB, records []storage.Record) storage.Store {
		s := open(t, pgtest.Start(t).DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
		must(t, s.Fill(t.Context(), records))
		return s
	})
}
