package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// admit takes until n were admitted.
func admit(t testing.TB, l limiter.Limiter, n int, r limiter.Request) {
	t.Helper()
	for i := range n {
		if d, err := l.Take(t.Context(), r); err != nil || !d.Allowed {
			t.Fatalf("request %d of %d: %v, error %v", i+1, n, d, err)
		}
	}
}

func remaining(t testing.TB, l limiter.Limiter, r limiter.Request) int64 {
	t.Helper()
	d, err := l.Peek(t.Context(), r)
	must(t, err)
	return d.Windows[0].Remaining
}

func TestLimiterLocksSubjectsInTheOrderOfTheirBytes(t *testing.T) {
	s := newStore(t)
	l := newLimiter(t, s, patient)
	r := twoDemands("b", "a", 100, 100)
	admit(t, l, 1, r)
	tx, watch := connect(t, s), connect(t, s)
	exec(t, tx, `BEGIN`)
	exec(t, tx, `SELECT 1 FROM latchkey.limits WHERE subject = 'a' FOR UPDATE`)
	done := make(chan error)
	go func() {
		_, err := l.Take(t.Context(), r)
		done <- err
	}()
	eventually(t, "the request waits for its first subject", func() bool { return waiters(t, watch) == 1 })
	if _, err := tx.Exec(t.Context(), `SELECT 1 FROM latchkey.limits WHERE subject = 'b' FOR UPDATE NOWAIT`); err != nil {
		t.Errorf("a request that waits for the first subject holds the second: %v", err)
	}
	exec(t, tx, `ROLLBACK`)
	must(t, <-done)
}

// A request that has waited for longer than its window is dated when it was
// admitted, not when it came.
func TestLimiterReadsTheClockUnderTheLock(t *testing.T) {
	s := newStore(t)
	l := newLimiter(t, s, patient)
	r := limiter.Request{Demands: []limiter.Demand{{Subject: "k", Limits: []apikey.Limit{{Name: "two-seconds", N: 2, Window: 2 * time.Second}}}}}
	admit(t, l, 1, r)
	tx, watch := connect(t, s), connect(t, s)
	exec(t, tx, `BEGIN`)
	exec(t, tx, `SELECT 1 FROM latchkey.limits WHERE subject = 'k' FOR UPDATE`)
	done := make(chan limiter.Decision)
	go func() {
		d, err := l.Take(t.Context(), costing(r, 2)) // fits when the first has left
		if err != nil {
			t.Error(err)
		}
		done <- d
	}()
	eventually(t, "the request waits", func() bool { return waiters(t, watch) == 1 })
	exec(t, tx, `SELECT pg_sleep(2.5)`)
	exec(t, tx, `COMMIT`)
	if d := <-done; !d.Allowed {
		t.Errorf("a request is decided at the time when it has the lock: %v", d)
	}
	if d, err := l.Take(t.Context(), r); err != nil || d.Allowed {
		t.Errorf("a hit counts from when it was admitted: %v, error %v", d, err)
	}
}

func costing(r limiter.Request, cost int64) limiter.Request {
	r.Cost = cost
	return r
}

// Who gives up waiting is not charged when the row is free again.
func TestLimiterGivesUpInTime(t *testing.T) {
	s := newStore(t)
	l := newLimiter(t, s, patient)
	r := twoDemands("a", "b", 100, 100)
	admit(t, l, 1, r)
	tx, watch := connect(t, s), connect(t, s)
	exec(t, tx, `BEGIN`)
	exec(t, tx, `SELECT 1 FROM latchkey.limits WHERE subject = 'a' FOR UPDATE`)
	hasty := newLimiter(t, s, pgstore.LimiterOptions{Timeout: 200 * time.Millisecond, Logger: quiet})
	if d, err := hasty.Take(t.Context(), r); !errors.Is(err, limiter.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || d != (limiter.Decision{}) {
		t.Errorf("behind a lock: got %v, error %v, want ErrUnavailable", d, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := newLimiter(t, s, pgstore.LimiterOptions{Timeout: time.Second}).Take(ctx, r); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("behind a lock, with a context that ends: got error %v", err)
	}
	eventually(t, "the server has given up, too", func() bool { return waiters(t, watch) == 0 })
	// By itself: whoever asked may be gone with the network, and nobody cancels for them.
	patience, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := connect(t, s).Exec(patience, `SELECT latchkey.limit_use('{a}', '{{0,-9,120,99,1,0,1000000000,61,0,0}}', true, 0, 0, 60000000000, false, 100, NULL)`)
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "55P03" {
		t.Errorf("a server that waits for a lock: got error %v, want lock_not_available", err)
	}
	exec(t, tx, `ROLLBACK`)
	if got := remaining(t, l, r); got != 99 {
		t.Errorf("%d remain, want 99", got)
	}
}

func TestLimiterOverAServerThatIsGone(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := open(t, server.DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
	l := newLimiter(t, s, patient)
	const n = 100_000
	r := twoDemands("key", "owner", n, n)
	admit(t, l, 20, r)
	server.Stop(t)
	for range 3 {
		begun := time.Now()
		_, err := newLimiter(t, s, pgstore.LimiterOptions{}).Take(t.Context(), r)
		if !errors.Is(err, limiter.ErrUnavailable) || time.Since(begun) > 5*time.Second {
			t.Errorf("got error %v after %v, want ErrUnavailable", err, time.Since(begun))
		}
	}
	server.Start(t)
	eventually(t, "the server is back", func() bool { _, err := l.Peek(t.Context(), r); return err == nil })
	if got := remaining(t, l, r); got != n-20 {
		t.Errorf("a clean stop loses no count: %d remain, want %d", got, n-20)
	}

	// And now without warning, while requests come. Credits are lost by nobody.
	var at []time.Time
	credits := limiter.Request{Demands: []limiter.Demand{{Subject: "owner of credits", Limits: []apikey.Limit{{Name: "credits", N: n, Period: apikey.Ever}}}}}
	spent := int64(0)
	for begun := time.Now(); time.Since(begun) < 1500*time.Millisecond; {
		admit(t, l, 1, r)
		at = append(at, time.Now())
		if len(at)%50 == 0 {
			admit(t, l, 1, credits)
			spent++
		}
	}
	admit(t, l, 1, credits)
	struck := time.Now()
	server.Kill(t)
	server.Start(t)
	eventually(t, "the server is back", func() bool { _, err := l.Peek(t.Context(), r); return err == nil })
	sure := int64(20)
	for _, a := range at {
		if struck.Sub(a) > time.Second {
			sure++
		}
	}
	if left := remaining(t, l, credits); left != n-spent-1 {
		t.Errorf("%d credits are left of %d, want all but %d", left, n, spent+1)
	}
	counted := n - remaining(t, l, r)
	if all := int64(20 + len(at)); counted < sure || counted > all {
		t.Errorf("%d of %d are counted after the crash, want those older than a second, %d", counted, all, sure)
	}
	// What the crash took is what may be admitted beyond N, and no more.
	lowered := twoDemands("key", "owner", counted+5, n)
	admit(t, l, 5, lowered)
	if d, err := l.Take(t.Context(), lowered); err != nil || d.Allowed {
		t.Errorf("one more than N and what was lost: %v, error %v", d, err)
	}
	t.Logf("the crash took %d of %d charges", int64(20+len(at))-counted, 20+len(at))
}

func TestLimiterRemovesIdleSubjects(t *testing.T) {
	s := newStore(t)
	l := newLimiter(t, s, patient)
	l.LeaveIdle()
	now := time.Now()
	for name, at := range map[string]time.Time{"idle": now.Add(-3 * time.Hour), "idle, but locked": now.Add(-3 * time.Hour), "counts": now} {
		l.SetClock(func() int64 { return at.UnixNano() })
		admit(t, l, 1, limiter.Request{Demands: []limiter.Demand{{Subject: name, Limits: []apikey.Limit{{Name: "hour", N: 1, Window: time.Hour}}}}})
	}
	l.SetClock(func() int64 { return now.AddDate(-20, 0, 0).UnixNano() })
	admit(t, l, 1, limiter.Request{Demands: []limiter.Demand{{Subject: "has credits", Limits: []apikey.Limit{{Name: "credits", N: 2, Period: apikey.Ever}}}}})
	tx := connect(t, s)
	exec(t, tx, `BEGIN`)
	exec(t, tx, `SELECT 1 FROM latchkey.limits WHERE subject = 'idle, but locked' FOR UPDATE`)
	must(t, s.Maintain(t.Context()))
	exec(t, tx, `ROLLBACK`)
	if n := count(t, s.Pool(), `SELECT count(*) FILTER (WHERE subject = 'idle') + 10 * count(*) FROM latchkey.limits`); n != 30 {
		t.Errorf("got %d, want three rows without the idle one", n)
	}
	must(t, s.Maintain(t.Context()))
	// A limiter does it by itself.
	l = newLimiter(t, s, patient)
	l.SetClock(func() int64 { return now.Add(-3 * time.Hour).UnixNano() })
	other := limiter.Request{Demands: []limiter.Demand{{Subject: "idle", Limits: []apikey.Limit{{Name: "hour", N: 1_000_000, Window: time.Hour}}}}}
	admit(t, l, 1, other)
	eventually(t, "an idle subject is gone", func() bool {
		l.SetClock(func() int64 { return now.UnixNano() })
		_, err := l.Take(t.Context(), limiter.Request{Demands: []limiter.Demand{{Subject: "another", Limits: other.Demands[0].Limits}}})
		must(t, err)
		return count(t, s.Pool(), `SELECT count(*) FROM latchkey.limits WHERE subject = 'idle'`) == 0
	})
}

func TestLimiterInEveryWayToRunAQuery(t *testing.T) {
	dsn := pgtest.DSN(t)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec"} {
		s := open(t, dsn+" default_query_exec_mode="+mode+" options='-c default_transaction_read_only=on -c default_transaction_isolation=serializable -c search_path='",
			pgstore.Options{Schema: mode, AutoMigrate: true, Logger: quiet})
		l := newLimiter(t, s, patient)
		r := twoDemands("k\x00\xff", "owner", 3, 100)
		admit(t, l, 3, r)
		if d, err := l.Take(t.Context(), r); err != nil || d.Allowed || !d.Windows[0].Violated || d.Windows[1].Remaining != 97 {
			t.Errorf("%s: got %v, error %v", mode, d, err)
		}
	}
}

func TestLimiterOptions(t *testing.T) {
	s := newStore(t)
	if _, err := pgstore.NewLimiter(nil, patient); err == nil {
		t.Error("a nil store is accepted")
	}
	if _, err := pgstore.NewLimiter(s, pgstore.LimiterOptions{Timeout: -1}); err == nil {
		t.Error("a negative Timeout is accepted")
	}
	l := newLimiter(t, s, patient)
	must(t, s.Close())
	if _, err := l.Take(t.Context(), twoDemands("a", "b", 1, 1)); !errors.Is(err, limiter.ErrClosed) {
		t.Errorf("after Close: got error %v, want ErrClosed", err)
	}
}
