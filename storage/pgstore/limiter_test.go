package pgstore_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/limiter/limitertest"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// patient is for tests on machines that are busy with others.
var patient = pgstore.LimiterOptions{Timeout: 20 * time.Second, Logger: quiet}

func newLimiter(t testing.TB, s *pgstore.Store, o pgstore.LimiterOptions) *pgstore.Limiter {
	t.Helper()
	l, err := pgstore.NewLimiter(s, o)
	must(t, err)
	return l
}

func newEscrow(t testing.TB, l limiter.Limiter, o limiter.EscrowOptions) *limiter.Escrow {
	t.Helper()
	o.Timeout, o.Logger = patient.Timeout, quiet
	e, err := limiter.NewEscrow(l, o)
	must(t, err)
	return e
}

// stores makes stores in schemas of their own, of one database on one pool, and
// finds the same again.
func stores(t *testing.T) (fresh func(t testing.TB) *pgstore.Store, again func(t testing.TB, s *pgstore.Store) *pgstore.Store) {
	config, err := pgxpool.ParseConfig(pgtest.DSN(t))
	must(t, err)
	config.MaxConns = 24
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	must(t, err)
	t.Cleanup(pool.Close)
	at := func(t testing.TB, schema string) *pgstore.Store {
		t.Helper()
		s, err := pgstore.New(t.Context(), pool, pgstore.Options{Schema: schema, AutoMigrate: true, NoListen: true, Logger: quiet})
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	var made atomic.Int64
	return func(t testing.TB) *pgstore.Store { return at(t, fmt.Sprintf(`Limits "%d"`, made.Add(1))) },
		func(t testing.TB, s *pgstore.Store) *pgstore.Store { return at(t, s.Schema()) }
}

// Rules run in real time against a server; half of the limiters have an Escrow
// before them. To go on with the counts another process needs the schema only.
func TestLimiter(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 30 seconds")
	}
	t.Parallel() // it mostly sleeps
	fresh, again := stores(t)
	var mu sync.Mutex
	of := map[limiter.Limiter]*pgstore.Store{}
	made := func(t testing.TB, s *pgstore.Store) limiter.Limiter {
		l := newLimiter(t, s, patient)
		mu.Lock()
		defer mu.Unlock()
		of[l] = s
		return l
	}
	alone := limitertest.Harness{
		New:  func(t testing.TB) limiter.Limiter { return made(t, fresh(t)) },
		Unit: 4 * time.Second,
		Restart: func(t testing.TB, l limiter.Limiter) limiter.Limiter {
			mu.Lock()
			s := of[l]
			mu.Unlock()
			must(t, s.Close())
			return made(t, again(t, s))
		},
		Crash: func(t testing.TB, l limiter.Limiter) limiter.Limiter {
			mu.Lock()
			s := of[l]
			mu.Unlock()
			return made(t, again(t, s))
		},
	}
	escrow := limitertest.Harness{
		New: func(t testing.TB) limiter.Limiter {
			return newEscrow(t, newLimiter(t, fresh(t), patient), limiter.EscrowOptions{Instances: 1})
		},
		Unit:   4 * time.Second,
		Unused: func(n int64) int64 { return n / 8 },
	}
	// One after the other: side by side they keep each other waiting, and measure that.
	t.Run("alone", func(t *testing.T) { limitertest.Run(t, alone) })
	t.Run("under an Escrow", func(t *testing.T) { limitertest.Run(t, escrow) })
}

// Four processes, each with a pool of its own, and two goroutines each are after
// one key.
func TestLimitersShareOneKey(t *testing.T) {
	for name, before := range map[string]func(l limiter.Limiter) limiter.Limiter{
		"alone":           func(l limiter.Limiter) limiter.Limiter { return l },
		"under an Escrow": func(l limiter.Limiter) limiter.Limiter { return newEscrow(t, l, limiter.EscrowOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 64
			limit := apikey.Limit{Name: "second", N: n, Window: time.Second}
			r := limiter.Request{Demands: []limiter.Demand{{Subject: "hot", Limits: []apikey.Limit{limit, {Name: "day", N: 1_000_000, Window: 24 * time.Hour}}}}}
			dsn := pgtest.DSN(t)
			var mu sync.Mutex
			var admitted []call
			begun := time.Now()
			var wg sync.WaitGroup
			for range 4 {
				l := before(newLimiter(t, open(t, dsn, pgstore.Options{AutoMigrate: true, NoListen: true, Logger: quiet}), patient))
				for range 2 {
					wg.Go(func() {
						for time.Since(begun) < 3500*time.Millisecond {
							from := time.Since(begun)
							d, err := l.Take(t.Context(), r)
							if err != nil {
								t.Error(err)
								return
							}
							if d.Allowed {
								mu.Lock()
								admitted = append(admitted, call{from, time.Since(begun)})
								mu.Unlock()
							}
						}
					})
				}
			}
			wg.Wait()
			if most := inOneWindow(admitted, limit.Window); most > n {
				t.Errorf("%d were admitted within %v, want at most %d", most, limit.Window, n)
			}
			if len(admitted) < 2*n {
				t.Errorf("%d were admitted in three windows of %d", len(admitted), n)
			}
		})
	}
}

// call is when a request was asked and when it was answered: it was admitted
// somewhere in between.
type call struct{ asked, told time.Duration }

// inOneWindow returns the most calls that were begun and answered within one
// window, whenever in between they were admitted.
func inOneWindow(calls []call, window time.Duration) (most int) {
	for _, from := range calls {
		n := 0
		for _, c := range calls {
			if c.asked >= from.asked && c.told < from.asked+window {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// The long window makes it exact: nothing leaves it while the test runs. Under an
// Escrow what lies reserved and unused in the end is an eighth at most.
func TestLimitersAdmitExactlyN(t *testing.T) {
	t.Parallel()
	for _, instances := range []int{1, 4, 8} {
		for _, escrow := range []bool{false, true} {
			t.Run(fmt.Sprintf("instances=%d/escrow=%v", instances, escrow), func(t *testing.T) { hotKey(t, instances, escrow) })
		}
	}
}

// hotKey asks twice as much of one key as it may, on several instances, in both
// orders of its two subjects.
func hotKey(t *testing.T, instances int, escrow bool) {
	const n = 320
	dsn := pgtest.DSN(t)
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for i := range instances {
		var l limiter.Limiter = newLimiter(t, open(t, dsn, pgstore.Options{AutoMigrate: true, NoListen: true, Logger: quiet}), patient)
		if escrow {
			l = newEscrow(t, l, limiter.EscrowOptions{Instances: instances})
		}
		r := twoDemands("key", "owner", n, n+10)
		if i%2 == 1 { // the other way around
			slices.Reverse(r.Demands)
		}
		for range 2 {
			wg.Go(func() {
				for range n / instances {
					d, err := l.Take(t.Context(), r)
					if err != nil {
						t.Error(err)
						return
					}
					if d.Allowed {
						admitted.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	least := int64(n)
	if escrow {
		least -= n / 8
	}
	if got := admitted.Load(); got < least || got > n {
		t.Errorf("%d of %d were admitted, want %d to %d", got, 2*n, least, n)
	}
}

func twoDemands(key, owner string, n, m int64) limiter.Request {
	return limiter.Request{
		Demands: []limiter.Demand{
			{Subject: key, Limits: []apikey.Limit{{Name: "hour", N: n, Window: time.Hour}}},
			{Subject: owner, Limits: []apikey.Limit{{Name: "day", N: m, Window: 24 * time.Hour}}},
		},
	}
}

func BenchmarkLimiter(b *testing.B) {
	for _, keys := range []int{1, 1000} {
		for _, escrow := range []bool{false, true} {
			b.Run(fmt.Sprintf("keys=%d/escrow=%v", keys, escrow), func(b *testing.B) {
				s := open(b, pgtest.Start(b).DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
				var l limiter.Limiter = newLimiter(b, s, patient)
				if escrow {
					l = newEscrow(b, l, limiter.EscrowOptions{})
				}
				var at atomic.Int64
				b.SetParallelism(4)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						r := limiter.Request{Demands: []limiter.Demand{{Subject: fmt.Sprint("key ", at.Add(1)%int64(keys)), Limits: []apikey.Limit{
							{Name: "minute", N: 1_000_000, Window: time.Minute}, {Name: "day", N: 100_000_000, Window: 24 * time.Hour},
						}}}}
						if d, err := l.Take(b.Context(), r); err != nil || !d.Allowed {
							b.Error(d, err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
			})
		}
	}
}
