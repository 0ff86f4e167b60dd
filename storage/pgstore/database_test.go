package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

func TestTheDatabaseItselfRefuses(t *testing.T) {
	s := newStore(t)
	apply(t, s, changeOf("active", 0, nil))
	apply(t, s, changeOf("revoked", 0, revoked))
	stranger := connect(t, s)
	for what, sql := range map[string]string{
		"a revocation taken back":      `UPDATE "latchkey".keys SET revoked_at = NULL, revision = revision + 1 WHERE id = 'revoked'`,
		"a revocation moved":           `UPDATE "latchkey".keys SET revoked_at = now(), revision = revision + 1 WHERE id = 'revoked'`,
		"an active key deleted":        `DELETE FROM "latchkey".keys WHERE id = 'active'`,
		"a revision written twice":     `UPDATE "latchkey".keys SET owner = 'other' WHERE id = 'active'`,
		"a revision that goes back":    `UPDATE "latchkey".keys SET revision = revision - 1 WHERE id = 'active'`,
		"a key that becomes another":   `UPDATE "latchkey".keys SET id = 'x', revision = revision + 1 WHERE id = 'active'`,
		"an audit entry edited":        `UPDATE "latchkey".audit SET actor = 'nobody'`,
		"usage of a key that is not":   `INSERT INTO "latchkey".usage_secrets VALUES ('nobody', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, '', '')`,
		"a second counter of the feed": `INSERT INTO "latchkey".feed_head (head) VALUES (1)`,
	} {
		if _, err := stranger.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s: the database accepts it", what)
		}
	}
	exec(t, stranger, `DELETE FROM "latchkey".keys WHERE id = 'revoked'`)
}

func TestARowThatWasEditedBehindItsRecordIsDamage(t *testing.T) {
	s := newStore(t)
	apply(t, s, changeOf("key", 0, nil))
	exec(t, connect(t, s), `UPDATE "latchkey".keys SET revoked_at = now(), revision = revision + 1 WHERE id = 'key'`)
	if _, err := s.Get(t.Context(), "key"); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a key that was revoked by hand in SQL works on: got error %v, want ErrCorrupt", err)
	}
	if _, err := s.Apply(t.Context(), changeOf("key", 2, nil)); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("and it can be changed: got error %v, want ErrCorrupt", err)
	}
}

// The counter's lock is what all changes take turns for. A change that waits for
// another key's row, or is refused, must not hold it.
func TestTheCounterIsLockedLast(t *testing.T) {
	s := newStore(t)
	apply(t, s, changeOf("key", 0, nil))
	holder, watcher := connect(t, s), connect(t, s)
	exec(t, holder, "BEGIN")
	exec(t, holder, `SELECT FROM "latchkey".keys WHERE id = 'key' FOR UPDATE`)
	done := make(chan error, 1)
	go func() { _, err := s.Apply(t.Context(), changeOf("key", 1, nil)); done <- err }()
	eventually(t, "the change waits for its row", func() bool { return waiters(t, watcher) == 1 })

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.Apply(ctx, changeOf("other", 0, nil)); err != nil {
		t.Errorf("a change that waits for its key's row keeps others from the counter: %v", err)
	}
	exec(t, holder, "ROLLBACK")
	must(t, <-done)
	p := poll(t, s, storage.FeedQuery{})
	if len(p.Changes) != 3 || p.Changes[1].ID != "other" || p.Changes[2].ID != "key" {
		t.Errorf("positions follow the order of the commits: got %+v", p.Changes)
	}
}

// Commits in the order of positions: who has the next position waits for the
// one before to commit.
func TestAChangeWaitsForTheOneBeforeItToCommit(t *testing.T) {
	s := newStore(t)
	tx, err := s.Pool().Begin(t.Context())
	must(t, err)
	defer tx.Rollback(context.Background())
	if _, err := s.Apply(pgstore.WithTx(t.Context(), tx), changeOf("first", 0, nil)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := s.Apply(t.Context(), changeOf("second", 0, nil)); done <- err }()
	watcher := connect(t, s)
	eventually(t, "the second change waits", func() bool { return waiters(t, watcher) == 1 || len(done) > 0 })
	if p := poll(t, s, storage.FeedQuery{}); p.Head != 0 || len(p.Changes) != 0 {
		t.Errorf("nothing is in the feed before it is committed: got %+v", p)
	}
	must(t, tx.Commit(t.Context()))
	must(t, <-done)
	p := poll(t, s, storage.FeedQuery{})
	if p.Head != 2 || len(p.Changes) != 2 || p.Changes[0].ID != "first" || p.Changes[1].Position != 2 {
		t.Errorf("want first, second at 1, 2; got %+v", p)
	}
}

func TestAContextThatEndsWhileTheChangeIsWrittenDoesNotSayThatNothingHappened(t *testing.T) {
	s := newStore(t)
	holder, watcher := connect(t, s), connect(t, s)
	exec(t, holder, "BEGIN")
	exec(t, holder, `SELECT FROM "latchkey".feed_head FOR UPDATE`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := s.Apply(ctx, changeOf("key", 0, nil)); done <- err }()
	eventually(t, "the change waits for the counter", func() bool { return waiters(t, watcher) == 1 })
	cancel()
	err := <-done
	if err == nil || apikey.CodeOf(err) != apikey.Internal || errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want one that leaves the outcome open", err)
	}
	exec(t, holder, "ROLLBACK")
	apply(t, s, changeOf("other", 0, nil)) // the store goes on
}

func TestAContextThatEndsBeforeTheChangeIsSentIsItsError(t *testing.T) {
	s := open(t, pgtest.DSN(t)+" pool_max_conns=1", pgstore.Options{AutoMigrate: true, Logger: quiet})
	conn, err := s.Pool().Acquire(t.Context())
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Apply(ctx, changeOf("key", 0, nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no connection was free: got error %v, want DeadlineExceeded", err)
	}
	conn.Release()
	if _, err := s.Get(t.Context(), "key"); !errors.Is(err, apikey.NotFound) {
		t.Errorf("get: got error %v, want ErrNotFound", err)
	}
}

// A batch and a purge that lock keys and usage in each other's way.
func TestUsageAndPurgesDoNotDeadlock(t *testing.T) {
	s := newStore(t)
	const keys, rounds = 24, 12
	for i := range keys {
		apply(t, s, changeOf(fmt.Sprintf("key-%02d", i), 0, revoked))
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for round := range rounds {
				var batch []storage.UsageDelta
				for i := range keys {
					n := (i*7 + w*5 + round) % keys // in another order each time
					batch = append(batch, storage.UsageDelta{
						KeyID: fmt.Sprintf("key-%02d", n), Secret: uint32(i % 2), Hour: time.Now().Add(-time.Duration(round) * time.Hour), Counts: apikey.Counts{Allowed: 1},
					})
				}
				if err := s.AddUsage(t.Context(), batch); err != nil {
					t.Errorf("add usage: %v", err)
				}
			}
		})
	}
	for i := range keys / 2 {
		c := changeOf(fmt.Sprintf("key-%02d", i), 1, revoked)
		c.Delete = true
		apply(t, s, c)
	}
	wg.Wait()
	for i := range keys {
		id := fmt.Sprintf("key-%02d", i)
		u, err := s.Usage(t.Context(), id, time.Time{})
		must(t, err)
		var total uint64
		for _, secret := range u.Secrets {
			total += secret.Counts.Total()
		}
		if want := uint64(4 * rounds); i < keys/2 && total != 0 || i >= keys/2 && total != want {
			t.Errorf("usage of %s: %d; purged keys have none, the others %d", id, total, want)
		}
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	s := newStore(t)
	long := strings.Repeat("x", 769)
	for what, edit := range map[string]func(c *storage.Change){
		"a long ID":          func(c *storage.Change) { c.Record.Key.ID, c.Entry.KeyID = long, long },
		"a long owner":       func(c *storage.Change) { c.Record.Key.Owner = long },
		"a long environment": func(c *storage.Change) { c.Record.Key.Environment = long },
		"NUL":                func(c *storage.Change) { c.Record.Key.Owner = "a\x00b" },
		"what is not UTF-8":  func(c *storage.Change) { c.Entry.Reason = "\xff" },
		"a year out of reach": func(c *storage.Change) {
			c.Record.Key.CreatedAt = time.Date(290_000, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(10_000, 0, 0)
		},
		"NUL in an entry's text": func(c *storage.Change) { c.Entry.Details = map[string]string{"a": "\x00"} },
	} {
		c := changeOf("key", 0, nil)
		edit(&c)
		if _, err := s.Apply(t.Context(), c); !errors.Is(err, apikey.InvalidArgument) {
			t.Errorf("%s: got error %v, want ErrInvalidArgument", what, err)
		}
	}
	longest := noise(768) // does not compress
	apply(t, s, changeOf(longest, 0, func(k *apikey.Key) { k.Owner, k.Environment = noise(768), noise(768) }))
	if p := poll(t, s, storage.FeedQuery{}); p.Head != 1 {
		t.Errorf("the feed has %d changes, want 1", p.Head)
	}
	for _, at := range []time.Time{time.Date(-200_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(292_000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, err := s.List(t.Context(), storage.Query{After: storage.Position{CreatedAt: at, ID: "x"}}); err != nil {
			t.Errorf("list after %v: %v", at, err)
		}
	}
}
