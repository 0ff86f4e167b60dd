package pgstore_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// await waits for news that must come.
func await(t *testing.T, s *pgstore.Store) error {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return s.Await(ctx)
}

// listening waits until the store listens, and takes what that is news of.
func listening(t *testing.T, s *pgstore.Store) {
	t.Helper()
	must(t, await(t, s))
	poll(t, s, storage.FeedQuery{})
}

func TestOneChangeWakesAllWhoWait(t *testing.T) {
	dsn := pgtest.DSN(t)
	o := pgstore.Options{AutoMigrate: true, Logger: quiet}
	s, other := open(t, dsn, o), open(t, dsn, o)
	listening(t, s)
	done := make(chan error, 16)
	for range cap(done) {
		go func() { done <- await(t, s) }()
	}
	apply(t, other, changeOf("key", 0, nil))
	for range cap(done) {
		must(t, <-done)
	}
	must(t, await(t, s)) // nobody has looked yet
	poll(t, s, storage.FeedQuery{})

	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- s.Await(ctx) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("await with nothing new: got error %v, want Canceled", err)
	}
}

func TestAStoreHearsOfItsOwnSchemaOnly(t *testing.T) {
	dsn := pgtest.DSN(t)
	s := open(t, dsn, pgstore.Options{AutoMigrate: true, Logger: quiet})
	other := open(t, dsn, pgstore.Options{Schema: "other", AutoMigrate: true, Logger: quiet})
	listening(t, s)
	listening(t, other)
	for i := range uint64(20) {
		apply(t, other, changeOf("key", i, nil))
	}
	must(t, await(t, other)) // it has been told: had s been, it would know by and by
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a change in another schema: got error %v, want DeadlineExceeded", err)
	}
}

func TestAListenerWhoseConnectionIsCutComesBack(t *testing.T) {
	s := newStore(t)
	stranger := connect(t, s)
	listener := func() (pid int) {
		err := stranger.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`).Scan(&pid)
		if !errors.Is(err, pgx.ErrNoRows) {
			must(t, err)
		}
		return pid
	}
	listening(t, s)
	for round := range 3 {
		before := listener()
		exec(t, stranger, `SELECT pg_terminate_backend($1)`, before)
		must(t, await(t, s)) // it listens again: something may have been missed
		poll(t, s, storage.FeedQuery{})
		if after := listener(); after == 0 || after == before {
			t.Errorf("process %d listens after %d was ended", after, before)
		}
		done := make(chan error, 1)
		go func() { done <- await(t, s) }()
		apply(t, s, changeOf("key", uint64(round), nil))
		must(t, <-done)
		poll(t, s, storage.FeedQuery{})
	}
}

// A listener that waits for long before it tries again does so at once when a
// poll finds the server back.
func TestAPollThatSucceedsEndsTheListenersPause(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := open(t, server.DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
	s.PauseBeforeListening(time.Hour)
	listening(t, s)
	server.Stop(t)
	eventually(t, "a poll fails", func() bool { _, err := s.Poll(t.Context(), storage.FeedQuery{}); return err != nil })
	server.Start(t)
	eventually(t, "a poll succeeds", func() bool { _, err := s.Poll(t.Context(), storage.FeedQuery{}); return err == nil })
	must(t, await(t, s))
}

// Tokens of a cloud's identity service take the place of a password, and are
// made for each connection.
func TestTheListenerConnectsAsThePoolDoes(t *testing.T) {
	config, err := pgxpool.ParseConfig(pgtest.DSN(t))
	must(t, err)
	user := config.ConnConfig.User
	config.ConnConfig.User = "nobody of that name"
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		c.User = user
		return nil
	}
	config.ConnConfig.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {
		t.Error("the program's handler got the store's notification")
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	must(t, err)
	t.Cleanup(pool.Close)
	s, err := pgstore.New(t.Context(), pool, pgstore.Options{AutoMigrate: true, Logger: quiet})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	listening(t, s)
	apply(t, s, changeOf("key", 0, nil))
	must(t, await(t, s))
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	dsn := pgtest.DSN(t)
	o := pgstore.Options{AutoMigrate: true, Logger: quiet}
	must(t, open(t, dsn, o).Close()) // what is made once is there
	before := runtime.NumGoroutine()
	for range 5 {
		s := open(t, dsn, o)
		if stacks := goroutines(); strings.Contains(stacks, "pgstore.(*listener)") {
			t.Error("a store listens before anybody waits")
		}
		listening(t, s)
		done := make(chan error, 1)
		go func() { done <- await(t, s) }()
		eventually(t, "somebody waits", func() bool { return strings.Contains(goroutines(), "pgstore.(*Store).Await") })
		must(t, s.Close())
		if err := <-done; !errors.Is(err, apikey.Closed) {
			t.Errorf("await while the store is closed: got error %v, want ErrClosed", err)
		}
		if stacks := goroutines(); strings.Contains(stacks, "pgstore.(*") {
			t.Errorf("a goroutine of the store outlives Close:\n%s", stacks)
		}
	}
	eventually(t, "the pools' goroutines end", func() bool { return runtime.NumGoroutine() <= before })
}

func goroutines() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// TestCloseWaitsForNoCallForEver: a call whose context does not end, and that the
// server does not answer, is broken off.
func TestCloseWaitsForNoCallForEver(t *testing.T) {
	s := newStore(t)
	apply(t, s, changeOf("key", 0, nil))
	c := connect(t, s)
	exec(t, c, "BEGIN")
	exec(t, c, s.SQL(`SELECT FROM "latchkey".keys FOR UPDATE`))
	s.WaitInClose(50 * time.Millisecond)
	done := make(chan error, 1)
	go func() {
		done <- s.AddUsage(context.Background(), []storage.UsageDelta{{KeyID: "key", Secret: 1, Hour: time.Now()}})
	}()
	eventually(t, "the call waits for the lock", func() bool { return waiters(t, connect(t, s)) > 0 })
	must(t, s.Close())
	if err := <-done; !errors.Is(err, apikey.Closed) {
		t.Errorf("a call that Close broke off: got error %v, want ErrClosed", err)
	}
}
