package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage"
)

// What this store promises beyond storetest.

var nobody = context.Background()

func creation(id string) storage.Change {
	return storage.Change{
		Record: storage.Record{
			Key:     apikey.Key{ID: id, Owner: "acme", CreatedAt: time.Now(), Secrets: []apikey.Secret{{Number: 1}}},
			Digests: make([]storage.Digest, 1),
		},
		Entry: apikey.AuditEntry{At: time.Now(), Action: "create", KeyID: id, Owner: "acme"},
	}
}

func TestOneProcessAtATimeHasTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys?of 100%.sqlite") // a name with a meaning in URLs
	s := openAt(t, path)
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "open in another process") {
		t.Errorf("a second store on the file: error %v", err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childFile+"="+path)
	if out, err := child.CombinedOutput(); err == nil || !strings.Contains(string(out), "open in another process") {
		t.Errorf("another process: error %v\n%s", err, out)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
}

func TestAFileOfAnotherLayoutIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.sqlite")
	s := openAt(t, path)
	run(t, s, `PRAGMA user_version = 2`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "layout 2") {
		t.Errorf("got error %v", err)
	}
}

// A call that is given up while it waits for its turn has changed nothing, and
// one that was begun is not given up: its outcome is known.
func TestAContextThatEndsNeverHidesAChange(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "keys.sqlite"))
	turn, err := s.write.Conn(nobody)
	if err != nil {
		t.Fatal(err)
	}
	waits, cancel := context.WithCancel(nobody)
	result := make(chan error)
	go func() {
		_, err := s.Apply(waits, creation("waits"))
		result <- err
	}()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("a change that waits: error %v", err)
	}
	turn.Close()
	if _, err := s.Get(nobody, "waits"); !errors.Is(err, apikey.NotFound) {
		t.Errorf("its key: error %v", err)
	}

	begun, cancel := context.WithCancel(nobody)
	err = s.change(begun, "test", func(ctx context.Context, tx *sql.Tx) error {
		cancel()
		_, err := put(ctx, tx, creation("begun"))
		return err
	})
	if _, got := s.Get(nobody, "begun"); err != nil || got != nil {
		t.Errorf("a change that was begun when its context ended: error %v, its key: error %v", err, got)
	}
}

func TestAFailedCommitLeavesTheStoreUsable(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "keys.sqlite"))
	run(t, s, `CREATE TABLE parents (id PRIMARY KEY)`)
	run(t, s, `CREATE TABLE children (parent REFERENCES parents DEFERRABLE INITIALLY DEFERRED)`)
	run(t, s, `PRAGMA foreign_keys = on`)
	run(t, s, `CREATE TRIGGER orphan AFTER INSERT ON audit WHEN new.key_id = 'orphan' BEGIN INSERT INTO children VALUES (1); END`)
	if _, err := s.Apply(nobody, creation("orphan")); err == nil || apikey.CodeOf(err) == apikey.Conflict {
		t.Fatalf("the commit fails: error %v", err)
	}
	if _, err := s.Get(nobody, "orphan"); !errors.Is(err, apikey.NotFound) {
		t.Errorf("its key: error %v", err)
	}
	if _, err := s.Apply(nobody, creation("next")); err != nil {
		t.Errorf("the next change: error %v", err)
	}
}

func TestADamagedAuditEntryHidesNoOther(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "keys.sqlite"))
	for _, id := range []string{"one", "two", "three"} {
		if _, err := s.Apply(nobody, creation(id)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, s, `UPDATE audit SET entry = x'00' WHERE key_id = 'two'`)
	trail, err := s.Audit(nobody, apikey.AuditQuery{Limit: 2})
	if err != nil || len(trail) != 2 || trail[1].KeyID != "one" {
		t.Errorf("got %+v, error %v", trail, err)
	}
}

func TestLimitsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.sqlite")
	request := limiter.Request{Demands: []limiter.Demand{{Subject: "\xff\x00", Limits: []apikey.Limit{{Name: "hour", N: 3, Window: time.Hour}}}}, Cost: 1}
	for round, want := range []bool{true, false} {
		s := openAt(t, path)
		w, err := limiter.New(limiter.Options{Journal: s})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			d, err := w.Take(nobody, request)
			if err != nil || d.Allowed != want {
				t.Errorf("run %d: allowed %v, error %v", round, d.Allowed, err)
			}
		}
		if err := errors.Join(w.Close(nobody), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHoursPastTheRetentionGo(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "keys.sqlite"))
	if _, err := s.Apply(nobody, creation("key")); err != nil {
		t.Fatal(err)
	}
	for _, ago := range []time.Duration{storage.UsageRetention + 2*time.Hour, storage.UsageRetention - 2*time.Hour, 0} {
		d := storage.UsageDelta{KeyID: "key", Secret: 1, Hour: time.Now().Add(-ago), Counts: apikey.Counts{Allowed: 1}}
		if err := s.AddUsage(nobody, []storage.UsageDelta{d}); err != nil {
			t.Fatal(err)
		}
	}
	u, err := s.Usage(nobody, "key", time.Time{})
	if err != nil || len(u.Hours) != 2 || u.Of(1).Counts.Total() != 3 {
		t.Errorf("the old hour goes, its count stays in the total: %+v, error %v", u, err)
	}
}

// A service sends a batch again after an error.
func TestABatchOfUsageIsAddedWholeOrNotAtAll(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "keys.sqlite"))
	var batch []storage.UsageDelta
	for _, id := range []string{"one", "two"} {
		if _, err := s.Apply(nobody, creation(id)); err != nil {
			t.Fatal(err)
		}
		batch = append(batch, storage.UsageDelta{KeyID: id, Secret: 1, Hour: time.Now(), Counts: apikey.Counts{Allowed: 1}})
	}
	run(t, s, `CREATE TRIGGER fails BEFORE INSERT ON secrets WHEN new.key_id = 'two' BEGIN SELECT raise(ABORT, 'test'); END`)
	if err := s.AddUsage(nobody, batch); err == nil {
		t.Fatal("the second delta fails, the batch does not")
	}
	if u, err := s.Usage(nobody, "one", time.Time{}); err != nil || len(u.Hours)+len(u.Secrets) != 0 {
		t.Errorf("what came before the failure was added: %+v, error %v", u, err)
	}
}
