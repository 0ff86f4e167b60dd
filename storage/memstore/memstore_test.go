package memstore_test

import (
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
	"github.com/wontopos/latchkey/storage/storetest"
)

func open(testing.TB) storage.Store { return memstore.New() }

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: open, Notifies: true, Closes: true})
}

func BenchmarkStore(b *testing.B) { storetest.Bench(b, open) }

func TestHoursPastTheRetentionGoWhenNewOnesCome(t *testing.T) {
	s := memstore.New()
	key := apikey.Key{ID: "key", Secrets: make([]apikey.Secret, 1)}
	_, err := s.Apply(t.Context(), storage.Change{
		Record: storage.Record{Key: key, Digests: make([]storage.Digest, 1)}, Entry: apikey.AuditEntry{KeyID: "key"},
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, ago := range []time.Duration{storage.UsageRetention + 2*time.Hour, storage.UsageRetention - time.Hour, 0} {
		if err := s.AddUsage(t.Context(), []storage.UsageDelta{{KeyID: "key", Secret: 1, Hour: now.Add(-ago), Counts: apikey.Counts{Allowed: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	u, err := s.Usage(t.Context(), "key", time.Time{})
	if err != nil || len(u.Hours) != 2 || u.Of(1).Counts.Total() != 3 {
		t.Errorf("an hour older than the retention goes, its count stays in the total: %d hours, total %d, error %v", len(u.Hours), u.Of(1).Counts.Total(), err)
	}
}
