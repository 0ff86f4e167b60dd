package pgstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

func TestEveryWayToRunAQueryButOne(t *testing.T) {
	dsn := pgtest.DSN(t)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec"} {
		t.Run(mode, func(t *testing.T) {
			s := open(t, dsn+" default_query_exec_mode="+mode+" options='-c default_transaction_read_only=on'",
				pgstore.Options{Schema: mode, AutoMigrate: true, Logger: quiet})
			apply(t, s, changeOf("key", 0, nil))
			apply(t, s, changeOf("key", 1, revoked))
			use := storage.UsageDelta{KeyID: "key", Secret: 1, Hour: time.Now(), Last: apikey.LastUse{At: time.Now()}}
			must(t, s.AddUsage(t.Context(), []storage.UsageDelta{use, {KeyID: "key", Secret: 2, Hour: time.Now()}}))
			u, err := s.Usage(t.Context(), "key", time.Time{})
			if err != nil || len(u.Hours) != 2 || u.Of(1).Last.At.IsZero() || !u.Of(2).Last.At.IsZero() {
				t.Errorf("usage comes back as it was counted: %+v, error %v", u, err)
			}
			for range 2 {
				if p := poll(t, s, storage.FeedQuery{Instance: "one", Lease: time.Hour}); len(p.Changes) != 2 || p.Alive != 1 {
					t.Errorf("got %+v, want two changes and one instance", p)
				}
			}
			must(t, s.Maintain(t.Context()))
		})
	}
	if _, err := pgstore.Open(t.Context(), dsn+" default_query_exec_mode=simple_protocol", pgstore.Options{AutoMigrate: true}); err == nil || !strings.Contains(err.Error(), "simple protocol") {
		t.Errorf("the simple protocol: got error %v, want one that says so", err)
	}
}

func TestWithoutListenThereIsNoPush(t *testing.T) {
	s := open(t, pgtest.DSN(t), pgstore.Options{AutoMigrate: true, NoListen: true, Logger: quiet})
	if err := s.Await(t.Context()); !errors.Is(err, storage.ErrNoPush) {
		t.Errorf("got error %v, want ErrNoPush", err)
	}
}

func TestTheCallersPoolStaysOpen(t *testing.T) {
	pool := migrated(t)
	s, err := pgstore.New(t.Context(), pool, pgstore.Options{Logger: quiet})
	must(t, err)
	must(t, s.Close())
	must(t, pool.Ping(t.Context()))
	if _, err := pgstore.New(t.Context(), nil, pgstore.Options{}); err == nil {
		t.Error("a nil pool is accepted")
	}
	if _, err := pgstore.New(t.Context(), pool, pgstore.Options{FeedRetention: time.Second}); err == nil || !strings.Contains(err.Error(), "Options.FeedRetention") {
		t.Errorf("got error %v, want one that names Options.FeedRetention", err)
	}
}
