package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// An instance hears of changes and keeps its lease however busy its pool is.
func TestPollsDoNotWaitForThePool(t *testing.T) {
	s := open(t, pgtest.DSN(t)+" pool_max_conns=2", pgstore.Options{AutoMigrate: true, Logger: quiet})
	for range 2 {
		conn, err := s.Pool().Acquire(t.Context())
		must(t, err)
		defer conn.Release()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 3 {
		_, err := s.Poll(ctx, storage.FeedQuery{Instance: "here", Lease: time.Second})
		must(t, err)
	}
}

// Reads on behalf of requests leave the other half of the pool to everybody else,
// however many there are, and one that gives up leaves at once.
func TestBatchesTakeHalfOfThePool(t *testing.T) {
	s := open(t, pgtest.DSN(t)+" pool_max_conns=4", pgstore.Options{AutoMigrate: true, Logger: quiet})
	locker := connect(t, s)
	tx, err := locker.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), s.SQL(`LOCK TABLE "latchkey".keys IN ACCESS EXCLUSIVE MODE`))
	must(t, err)
	const readers = 10
	done := make(chan error, readers)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range readers {
		go func() {
			_, errs := s.GetBatch(ctx, []string{"nobody"})
			done <- errs[0]
		}()
	}
	eventually(t, "two reads have begun", func() bool { return s.Pool().Stat().AcquiredConns() == 2 })
	soon, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	_, err = s.Audit(soon, apikey.AuditQuery{})
	must(t, err)
	if n := s.Pool().Stat().AcquiredConns(); n != 2 {
		t.Errorf("%d connections are taken by reads, want 2 of 4", n)
	}
	cancel()
	for range readers {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("a read that was given up: %v", err)
		}
	}
	must(t, tx.Rollback(t.Context()))
	_, errs := s.GetBatch(t.Context(), []string{"nobody"})
	if !errors.Is(errs[0], apikey.NotFound) {
		t.Errorf("a read afterwards: %v", errs[0])
	}
}
