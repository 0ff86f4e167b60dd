package pgstore_test

import (
	"fmt"
	"os"
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

func newShared(t testing.TB, l limiter.Limiter) *limiter.Shared {
	t.Helper()
	s, err := limiter.NewShared(l, limiter.SharedOptions{Timeout: patient.Timeout, Logger: quiet})
	must(t, err)
	return s
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

// processes are limiters, and what each of them is made of.
type processes struct {
	fresh func(t testing.TB) *pgstore.Store
	again func(t testing.TB, s *pgstore.Store) *pgstore.Store
	mu    sync.Mutex
	of    map[limiter.Limiter]*process
}

type process struct {
	l     *pgstore.Limiter
	s     *pgstore.Store
	ahead *atomic.Int64 // the server's clock
}

// start returns a limiter on a store. Tests set the clock of the server for all
// that have it in common.
func (p *processes) start(t testing.TB, s *pgstore.Store, ahead *atomic.Int64) limiter.Limiter {
	l := newLimiter(t, s, patient)
	l.SetClock(func() int64 { return time.Now().UnixNano()/1000*1000 + ahead.Load() })
	l.SetSlotLife(slotLife)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[l] = &process{l, s, ahead}
	return l
}

func (p *processes) find(l limiter.Limiter) *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[l]
}

const slotLife = 3 * time.Second

func (p *processes) harness() limitertest.Harness {
	anew := func(t testing.TB, l limiter.Limiter) limiter.Limiter {
		q := p.find(l)
		return p.start(t, p.again(t, q.s), q.ahead)
	}
	return limitertest.Harness{
		New:  func(t testing.TB) limiter.Limiter { return p.start(t, p.fresh(t), new(atomic.Int64)) },
		Unit: 4 * time.Second,
		Restart: func(t testing.TB, l limiter.Limiter) limiter.Limiter {
			must(t, p.find(l).s.Close())
			return anew(t, l)
		},
		Crash:    anew,
		Step:     func(_ testing.TB, l limiter.Limiter, d time.Duration) { p.find(l).ahead.Add(int64(d)) },
		Peer:     anew,
		Kill:     func(_ testing.TB, l limiter.Limiter) { p.find(l).l.ForgetSlots() },
		SlotLife: slotLife,
	}
}

// Rules run in real time against a server. To go on with the counts another
// process needs the schema only.
func TestLimiter(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 30 seconds")
	}
	t.Parallel() // it mostly sleeps
	p := &processes{of: map[limiter.Limiter]*process{}}
	p.fresh, p.again = stores(t)
	limitertest.Run(t, p.harness())
}

// Four processes, each with a pool of its own, and two goroutines each are after
// one key.
func TestLimitersShareOneKey(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(l limiter.Limiter) limiter.Limiter{
		"alone":    func(l limiter.Limiter) limiter.Limiter { return l },
		"a Shared": func(l limiter.Limiter) limiter.Limiter { return newShared(t, l) },
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

// The long window makes it exact: nothing leaves it while the test runs.
func TestLimitersAdmitExactlyN(t *testing.T) {
	t.Parallel()
	all := []int{1, 8}
	if os.Getenv("LATCHKEY_LONG") != "" {
		all = []int{1, 4, 8}
	}
	dsn := pgtest.DSN(t)
	for _, instances := range all {
		t.Run(fmt.Sprintf("instances=%d", instances), func(t *testing.T) { hotKey(t, dsn, instances) })
	}
}

// hotKey asks twice as much of one key as it may, on several instances, in both
// orders of its two subjects.
func hotKey(t *testing.T, dsn string, instances int) {
	const n = 320
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for i := range instances {
		l := newLimiter(t, open(t, dsn, pgstore.Options{AutoMigrate: true, NoListen: true, Logger: quiet}), patient)
		r := twoDemands(fmt.Sprint("key ", instances), fmt.Sprint("a owner ", instances), n, n+10)
		r.Demands[1].Limits = append(r.Demands[1].Limits, apikey.Limit{Name: "month", N: n, Period: apikey.Monthly})
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
	if got := admitted.Load(); got != n {
		t.Errorf("%d of %d were admitted, want %d", got, 2*n, n)
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
	for _, keys := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			s := open(b, pgtest.Start(b).DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
			l := newLimiter(b, s, patient)
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
