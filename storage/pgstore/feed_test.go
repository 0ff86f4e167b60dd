package pgstore_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// See the comment at the head of feed.go.
func TestAnInstanceIsRegisteredBeforeItReads(t *testing.T) {
	s := newStore(t)
	holder, watcher := connect(t, s), connect(t, s)
	// A registration commits when the test lets it.
	exec(t, holder, `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END $$`)
	exec(t, holder, `CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON "latchkey".instances DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()`)
	exec(t, holder, `SELECT pg_advisory_lock(42)`)

	done := make(chan storage.FeedPage, 1)
	go func() {
		p, err := s.Poll(t.Context(), storage.FeedQuery{Instance: "slow", Lease: time.Hour})
		if err != nil {
			t.Error(err)
		}
		done <- p
	}()
	eventually(t, "the registration waits for its commit", func() bool { return waiters(t, watcher) == 1 })
	apply(t, s, changeOf("key", 0, nil))
	if p := poll(t, s, storage.FeedQuery{}); p.Alive != 0 {
		t.Fatalf("the registration is committed already: %+v", p)
	}
	exec(t, holder, `SELECT pg_advisory_unlock(42)`)
	if p := <-done; p.Head != 1 {
		t.Errorf("an instance that nobody knew of while a change was made has read the head from before it: %d", p.Head)
	}
}

func TestOldChangesGoAndAReaderWhoMissesThemIsTold(t *testing.T) {
	s := newStore(t)
	stranger := connect(t, s)
	for i := range uint64(10) {
		apply(t, s, changeOf("key", i, nil))
	}
	age := func(condition string) {
		t.Helper()
		exec(t, stranger, `UPDATE "latchkey".feed SET at = clock_timestamp() - interval '23 hours'`)
		exec(t, stranger, `UPDATE "latchkey".feed SET at = clock_timestamp() - interval '25 hours' WHERE `+condition)
		must(t, s.Maintain(t.Context()))
	}
	check := func(after, first uint64, truncated bool) {
		t.Helper()
		p := poll(t, s, storage.FeedQuery{After: after})
		if p.Truncated != truncated || p.Head != 10 || len(p.Changes) > 0 && p.Changes[0].Position != first || int(10-first) != len(p.Changes)-1 {
			t.Errorf("after %d: want changes from %d, truncated %v; got %+v", after, first, truncated, p)
		}
	}
	age("false")
	check(0, 1, false)
	age("position <= 4 OR position = 6") // a clock that was set back at 5
	check(0, 5, true)
	check(3, 5, true)
	check(4, 5, false)
	check(9, 10, false)
	check(10, 11, false)
	age("true")
	check(0, 10, true)
	check(8, 10, true)
	check(9, 10, false)
	if p := poll(t, s, storage.FeedQuery{After: 11}); p.Truncated || len(p.Changes) > 0 || p.Head != 10 {
		t.Errorf("after a position that is not there: got %+v, want head 10 alone", p)
	}
	if trail, err := s.Audit(t.Context(), apikey.AuditQuery{}); err != nil || len(trail) != 10 {
		t.Errorf("the audit trail stays: %d entries, error %v", len(trail), err)
	}
}

func TestHoursPastTheRetentionGo(t *testing.T) {
	s := newStore(t)
	apply(t, s, changeOf("key", 0, nil))
	for _, ago := range []time.Duration{storage.UsageRetention + 3*time.Hour, storage.UsageRetention - time.Hour, 0} {
		must(t, s.AddUsage(t.Context(), []storage.UsageDelta{{KeyID: "key", Secret: 1, Hour: time.Now().Add(-ago), Counts: apikey.Counts{Allowed: 1}}}))
	}
	must(t, s.Maintain(t.Context()))
	u, err := s.Usage(t.Context(), "key", time.Time{})
	if err != nil || len(u.Hours) != 2 || u.Of(1).Counts.Total() != 3 {
		t.Errorf("an hour older than the retention goes, its count stays in the total: %d hours, total %d, error %v", len(u.Hours), u.Of(1).Counts.Total(), err)
	}
}

func TestARunOutLeaseDoesNotCount(t *testing.T) {
	s := newStore(t)
	poll(t, s, storage.FeedQuery{Instance: "gone", Lease: time.Minute})
	if p := poll(t, s, storage.FeedQuery{}); p.Alive != 1 {
		t.Errorf("%d instances are alive, want 1", p.Alive)
	}
	exec(t, connect(t, s), `UPDATE "latchkey".instances SET beat_at = beat_at - interval '1 minute'`)
	if p := poll(t, s, storage.FeedQuery{}); p.Alive != 0 {
		t.Errorf("an instance whose lease has run out counts: %d are alive", p.Alive)
	}
	if p := poll(t, s, storage.FeedQuery{Instance: "brief"}); p.Alive != 1 {
		t.Errorf("the one who polls counts, even without a lease: %d are alive", p.Alive)
	}
}

func TestInstancesLongDeadAreForgotten(t *testing.T) {
	s := newStore(t)
	poll(t, s, storage.FeedQuery{Instance: "dead", Lease: time.Second})
	poll(t, s, storage.FeedQuery{Instance: "resting", Lease: time.Second})
	exec(t, connect(t, s), `UPDATE "latchkey".instances SET beat_at = beat_at - CASE id WHEN 'dead' THEN interval '2 hours' ELSE interval '10 minutes' END`)
	poll(t, s, storage.FeedQuery{Instance: "one", Lease: time.Second})
	if n := count(t, s.Pool(), `SELECT count(*) FROM latchkey.instances WHERE id IN ('one', 'resting')`); n != 2 {
		t.Errorf("%d of the two that may come back are known", n)
	}
	if n := count(t, s.Pool(), `SELECT count(*) FROM latchkey.instances`); n != 2 {
		t.Errorf("%d instances are kept, want 2: one was dead for hours", n)
	}
}

func TestAFeedThatWasMadeAnewHasAnotherEpoch(t *testing.T) {
	dsn := pgtest.DSN(t)
	s := open(t, dsn, pgstore.Options{AutoMigrate: true, Logger: quiet})
	before := poll(t, s, storage.FeedQuery{}).Epoch
	exec(t, connect(t, s), `DROP SCHEMA latchkey CASCADE`)
	s = open(t, dsn, pgstore.Options{AutoMigrate: true, Logger: quiet})
	if after := poll(t, s, storage.FeedQuery{}).Epoch; after == before || after == "" {
		t.Errorf("epochs %q and %q, want another one", before, after)
	}
}

// A server that was restored to a point in time, or was a replica, may lack
// changes that an instance has seen, and make others in their place.
func TestARestoredServerHasAnotherEpoch(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := open(t, server.DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
	before := poll(t, s, storage.FeedQuery{}).Epoch
	var data string
	conn := connect(t, s)
	must(t, conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&data))
	exec(t, conn, `ALTER SYSTEM SET restore_command = 'false'`) // there is no archive: what is there is all
	server.Stop(t)
	server.Start(t)
	answers := func() bool { _, err := s.Poll(t.Context(), storage.FeedQuery{}); return err == nil }
	eventually(t, "the store has new connections", answers)
	if again := poll(t, s, storage.FeedQuery{}).Epoch; again != before {
		t.Errorf("a restart is no other history: epochs %q and %q", before, again)
	}
	server.Stop(t)
	must(t, os.WriteFile(filepath.Join(data, "recovery.signal"), nil, 0o644))
	server.Start(t)
	eventually(t, "the recovery ends", answers)
	if after := poll(t, s, storage.FeedQuery{}).Epoch; after == before {
		t.Errorf("after a recovery the epoch is still %q", after)
	}
}

// TestChangesHaveTheirAge: by the server's clock, whatever that of the reader says.
func TestChangesHaveTheirAge(t *testing.T) {
	s := newStore(t)
	apply(t, s, changeOf("key", 0, nil))
	apply(t, s, changeOf("key", 1, nil))
	exec(t, connect(t, s), `UPDATE "latchkey".feed SET at = clock_timestamp() - interval '90 minutes' WHERE position = 1`)
	p := poll(t, s, storage.FeedQuery{})
	if len(p.Changes) != 2 || p.Changes[0].Age < 90*time.Minute || p.Changes[0].Age > 2*time.Hour || p.Changes[1].Age <= 0 || p.Changes[1].Age > time.Hour {
		t.Errorf("changes made 90 minutes ago, and just now: %+v", p.Changes)
	}
}
