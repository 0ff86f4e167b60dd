package limiter_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// heap returns the bytes in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// keyNames are as long as the ids of keys. The limiter does not keep them.
func keyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%016d", 1_000_000_000+i)
	}
	return names
}

// All in: buckets, counts, names and the tables that find them. A key that is
// fully active has sent its 60 in the last minute and its 1,000 in the last day.
func TestHeapOfAKeyInUse(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	free := []apikey.Limit{apikey.PerMinute(60), apikey.PerDay(1000)}
	for _, c := range []struct {
		name   string
		limits []apikey.Limit
		hits   func(use func())
		most   int64
	}{
		{"used once", free, func(use func()) { use() }, 184},
		{"used three times", free, func(use func()) {
			for range 3 {
				use()
				time.Sleep(2 * time.Second)
			}
		}, 360},
		{"fully active", free, func(use func()) {
			for i := range 940 {
				time.Sleep(91 * time.Second)
				if i < 880 {
					use()
				}
			}
			for range 60 {
				use()
				time.Sleep(time.Second)
			}
		}, 640},
		{
			"with a quota and two at a time", append(free[:2:2],
				apikey.Limit{Name: "month", N: 1e6, Period: apikey.Monthly}, apikey.Limit{Name: "busy", N: 2, Concurrent: true}),
			func(use func()) { use() }, 400,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const keys = 10_000
				names := keyNames(keys)
				before := heap()
				w := newWindow(t, limiter.Options{})
				r := ask("", c.limits...)
				c.hits(func() {
					for _, r.Demands[0].Subject = range names {
						mustTake(t, w, r)
					}
				})
				each := (heap() - before) / keys
				if t.Logf("a key %s takes %d bytes of heap", c.name, each); each > c.most {
					t.Errorf("a key %s takes %d bytes of heap, want at most %d", c.name, each, c.most)
				}
				runtime.KeepAlive(names)
				runtime.KeepAlive(w)
			})
		})
	}
}

func TestAnIdleKeyTakesNoHeap(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	synctest.Test(t, func(t *testing.T) {
		const keys = 100_000
		names := keyNames(keys)
		before := heap()
		w := newWindow(t, limiter.Options{})
		for _, k := range names {
			mustTake(t, w, ask(k, apikey.PerMinute(60), apikey.PerDay(1000)))
		}
		time.Sleep(25 * time.Hour)
		for w.Subjects() > 1 {
			for range 100_000 {
				mustTake(t, w, ask("one", second))
			}
		}
		if left := (heap() - before) / keys; left > 1 {
			t.Errorf("an idle key takes nothing: %d bytes of heap for each of %d are left", left, keys)
		}
		runtime.KeepAlive(names)
	})
}

// rateLimiter has the fields of the Limiter in golang.org/x/time/rate.
type rateLimiter struct {
	mu              sync.Mutex
	limit           float64
	burst           int
	tokens          float64
	last, lastEvent time.Time
}

// BenchmarkCollect is a full garbage collection with a million keys in use:
// here, and in what is common, two of golang.org/x/time/rate in a sync.Map. The
// goal is a tenth.
func BenchmarkCollect(b *testing.B) {
	const keys = 1_000_000
	collect := func(b *testing.B, held any) {
		runtime.GC()
		for b.Loop() {
			runtime.GC()
		}
		runtime.KeepAlive(held)
	}
	b.Run("Window", func(b *testing.B) {
		w := newWindow(b, limiter.Options{})
		limits := benchLimits(1)
		for _, k := range keyNames(keys) {
			mustTake(b, w, ask(k, limits...))
		}
		collect(b, w)
	})
	b.Run("rates", func(b *testing.B) {
		type pair struct{ minute, day *rateLimiter }
		m, now := new(sync.Map), time.Now()
		for _, k := range keyNames(keys) {
			m.Store(k, &pair{
				&rateLimiter{mu: sync.Mutex{}, limit: 1, burst: 60, tokens: 59, last: now, lastEvent: now},
				&rateLimiter{limit: 1, burst: 1000, tokens: 999, last: now, lastEvent: now},
			})
		}
		collect(b, m)
	})
}
