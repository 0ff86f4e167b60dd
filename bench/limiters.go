package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/RussellLuo/slidingwindow"
	"github.com/didip/tollbooth/v7"
	tollboothlimiter "github.com/didip/tollbooth/v7/limiter"
	"github.com/go-chi/httprate"
	golimiter "github.com/sethvargo/go-limiter"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	ululelimiter "github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"
	"golang.org/x/time/rate"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// day is the longer of the two windows.
const day = 24 * time.Hour

// limitersAlone are the contestants without any key to verify: each decides
// two limits, a minute's and a day's, for the key's id.
func limitersAlone() []peer {
	return []peer{
		alone("latchkey-Window", "", "limiter.Window, both exact windows in one Decide, which is Take without copies", openWindow),
		alone("go-limiter", "github.com/sethvargo/go-limiter", "two memorystore; the roomy budgets of throughput runs over 31 years instead, because it refills budgets above the root of their nanoseconds only in part", openGoLimiter),
		alone("xtime-rate", "golang.org/x/time", "two rate.Limiter a key, in a sync.Map", openRate),
		alone("slidingwindow", "github.com/RussellLuo/slidingwindow", "two Limiter with local windows a key, in a sync.Map", openSlidingWindow),
		alone("ulule", "github.com/ulule/limiter/v3", "two limiters, each with a memory store", openUlule),
		alone("throttled", "github.com/throttled/throttled/v2", "two GCRA limiters, each with a memstore (LRU, twice as many places as keys) and up to 1,000 tries", openThrottled),
		alone("tollbooth", "github.com/didip/tollbooth/v7", "two limiters, LimitByKeys (v7 stands in for v8, which could not be fetched)", openTollbooth),
		alone("httprate", "github.com/go-chi/httprate", "two RateLimiter, OnLimit (which sets the headers, too)", openHTTPRate),
		alone("echo-store", echoModule, "two RateLimiterMemoryStore", openEchoStores),
	}
}

// allow charges both limits of a key.
type allow func(id string) bool

func alone(name, module, how string, open func(budget, int) (func() allow, func(), error)) peer {
	return peer{name: name, module: module, how: how, does: limitOnly, open: func(k *keyset) (func() op, func(), error) {
		allows, closer, err := open(k.budget, k.n)
		return func() op {
			f := allows()
			return func(token uint32) int {
				if f(k.ids[token]) {
					return http.StatusOK
				}
				return http.StatusTooManyRequests
			}
		}, closer, err
	}}
}

// shared is for limiters that every goroutine calls in the same way.
func shared(f allow) func() allow { return func() allow { return f } }

func openWindow(b budget, _ int) (func() allow, func(), error) {
	w, err := limiter.New(limiter.Options{})
	if err != nil {
		return nil, nil, err
	}
	limits := []apikey.Limit{apikey.PerMinute(b.minute), apikey.PerDay(b.day)}
	ctx := context.Background()
	return shared(func(id string) bool {
		var d limiter.Decision
		err := w.Decide(ctx, &limiter.Request{Demands: []limiter.Demand{{Subject: id, Limits: limits}}}, nil, &d)
		return err == nil && d.Allowed
	}), func() { _ = w.Close(ctx) }, nil
}

func openGoLimiter(b budget, n int) (func() allow, func(), error) {
	return openGoLimiterFor(b, n, time.Minute)
}

func openGoLimiterFor(b budget, n int, minute time.Duration) (func() allow, func(), error) {
	ctx := context.Background()
	open := func(tokens int64, interval time.Duration) (golimiter.Store, error) {
		// Its refill counts interval/tokens tokens a tick, in nanoseconds:
		// less than all of them when there are more than the root.
		if tokens == apikey.MaxLimitN {
			interval = time.Duration(apikey.MaxLimitN * apikey.MaxLimitN)
		}
		return memorystore.New(&memorystore.Config{
			Tokens: uint64(tokens), Interval: interval, InitialAlloc: max(4096, n), SweepMinTTL: max(12*time.Hour, interval),
		})
	}
	minutes, err := open(b.minute, minute)
	if err != nil {
		return nil, nil, err
	}
	days, err := open(b.day, day)
	if err != nil {
		return nil, nil, err
	}
	take := func(s golimiter.Store, id string) bool {
		_, _, _, ok, err := s.Take(ctx, id)
		return ok && err == nil
	}
	return shared(func(id string) bool { return take(minutes, id) && take(days, id) }),
		func() { _, _ = minutes.Close(ctx), days.Close(ctx) }, nil
}

// byKey is the usual home of limiters that know one client only.
func byKey[T any](make func() *T) func(id string) *T {
	var m sync.Map
	return func(id string) *T {
		v, ok := m.Load(id)
		if !ok {
			v, _ = m.LoadOrStore(id, make())
		}
		return v.(*T)
	}
}

func openRate(b budget, _ int) (func() allow, func(), error) {
	type pair struct{ minute, day *rate.Limiter }
	of := byKey(func() *pair {
		minute, day := newRates(b)
		return &pair{minute, day}
	})
	return shared(func(id string) bool {
		p := of(id)
		return p.minute.Allow() && p.day.Allow()
	}), nothing, nil
}

func openSlidingWindow(b budget, _ int) (func() allow, func(), error) {
	type pair struct{ minute, day *slidingwindow.Limiter }
	local := func() (slidingwindow.Window, slidingwindow.StopFunc) { return slidingwindow.NewLocalWindow() }
	of := byKey(func() *pair {
		minute, _ := slidingwindow.NewLimiter(time.Minute, b.minute, local)
		day, _ := slidingwindow.NewLimiter(day, b.day, local)
		return &pair{minute, day}
	})
	return shared(func(id string) bool {
		p := of(id)
		return p.minute.Allow() && p.day.Allow()
	}), nothing, nil
}

func openUlule(b budget, _ int) (func() allow, func(), error) {
	ctx := context.Background()
	minutes := ululelimiter.New(memory.NewStore(), ululelimiter.Rate{Period: time.Minute, Limit: b.minute})
	days := ululelimiter.New(memory.NewStore(), ululelimiter.Rate{Period: day, Limit: b.day})
	take := func(l *ululelimiter.Limiter, id string) bool {
		c, err := l.Get(ctx, id)
		return err == nil && !c.Reached
	}
	return shared(func(id string) bool { return take(minutes, id) && take(days, id) }), nothing, nil
}

func openThrottled(b budget, n int) (func() allow, func(), error) {
	ctx := context.Background()
	open := func(limit int64, per time.Duration) (*throttled.GCRARateLimiterCtx, error) {
		store, err := memstore.NewCtx(max(65536, 2*n))
		if err != nil {
			return nil, err
		}
		l, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{
			MaxRate: throttled.PerDuration(int(limit), per), MaxBurst: int(limit) - 1,
		})
		if err == nil {
			l.SetMaxCASAttemptsLimit(1000) // with its default of 10, two cores make it fail on one key
		}
		return l, err
	}
	minutes, err := open(b.minute, time.Minute)
	if err != nil {
		return nil, nil, err
	}
	days, err := open(b.day, day)
	if err != nil {
		return nil, nil, err
	}
	take := func(l *throttled.GCRARateLimiterCtx, id string) bool {
		limited, _, err := l.RateLimitCtx(ctx, id, 1)
		return err == nil && !limited
	}
	return shared(func(id string) bool { return take(minutes, id) && take(days, id) }), nothing, nil
}

func openTollbooth(b budget, _ int) (func() allow, func(), error) {
	open := func(limit int64, per time.Duration) *tollboothlimiter.Limiter {
		options := &tollboothlimiter.ExpirableOptions{DefaultExpirationTTL: max(time.Hour, per)}
		return tollbooth.NewLimiter(float64(limit)/per.Seconds(), options).SetBurst(int(limit))
	}
	minutes, days := open(b.minute, time.Minute), open(b.day, day)
	return func() allow {
		key := []string{""}
		return func(id string) bool {
			key[0] = id
			return tollbooth.LimitByKeys(minutes, key) == nil && tollbooth.LimitByKeys(days, key) == nil
		}
	}, nothing, nil
}

func openHTTPRate(b budget, _ int) (func() allow, func(), error) {
	minutes := httprate.NewRateLimiter(int(b.minute), time.Minute)
	days := httprate.NewRateLimiter(int(b.day), day)
	return func() allow {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		w := &sink{header: make(http.Header, 8)}
		return func(id string) bool {
			clear(w.header)
			return !minutes.OnLimit(w, r, id) && !days.OnLimit(w, r, id)
		}
	}, nothing, nil
}

func openEchoStores(b budget, _ int) (func() allow, func(), error) {
	minutes, days := echoStores(b)
	return shared(func(id string) bool {
		m, err := minutes.Allow(id)
		if !m || err != nil {
			return false
		}
		d, err := days.Allow(id)
		return d && err == nil
	}), nothing, nil
}
