package badgerstore

import (
	"log/slog"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var quiet = Options{Logger: slog.New(slog.DiscardHandler)}

func openIn(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// changeOf makes a change of a key of the given ID.
func changeOf(id string, expect uint64, edit func(k *apikey.Key)) storage.Change {
	k := apikey.Key{ID: id, Owner: "acme", Environment: "live", CreatedAt: time.Unix(1, 0), Secrets: make([]apikey.Secret, 1)}
	if edit != nil {
		edit(&k)
	}
	return storage.Change{
		Record: storage.Record{Key: k, Digests: make([]storage.Digest, 1)}, Expect: expect,
		Entry: apikey.AuditEntry{KeyID: id, Owner: k.Owner, Action: "update"},
	}
}

func revoked(k *apikey.Key) { k.RevokedAt, k.RevokedBy = time.Unix(2, 0), "ann" }

func apply(t *testing.T, s *Store, c storage.Change) {
	t.Helper()
	if _, err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}
