package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore"
	"github.com/wontopos/latchkey/storage/redisstore/redistest"
)

// floorLua does the least that a limiter in one script must do.
const floorLua = `local raw = redis.call('GET', KEYS[1])
local t = redis.call('TIME')
redis.call('SET', KEYS[1], raw, 'PX', 86400000)
return 'x'`

// BenchmarkTimeInTheServer reports by the server's own statistics how long a
// call takes there. The key's windows are full of what a client has left that
// was served once a second for a day, and the server's clock runs a second with
// every call. "floor" is floorLua on the same key.
func BenchmarkTimeInTheServer(b *testing.B) {
	p := dialTo(b, "bench:", redistest.Start(b).Addr())
	l, err := redisstore.NewLimiter(p, redisstore.LimiterOptions{Prefix: "b:", Logger: quiet})
	must(b, err)
	b.Cleanup(func() { _ = l.Close(context.Background()) })
	l.ClockAt(p.clock+"s", p.clock+"us")
	floor := redisstore.Call{SHA1: p.send("SCRIPT", "LOAD", strings.Replace(floorLua, "call('TIME')", "call('MGET', 'bench:s', 'bench:us')", 1)).Value}

	free := []apikey.Limit{apikey.PerMinute(62), apikey.PerDay(50_000)}
	request := func(subject string, more ...apikey.Limit) limiter.Request {
		return asks(subject, append(free[:2:2], more...)...)
	}
	owned := request("owned key 123456")
	owned.Demands = append(owned.Demands, limiter.Demand{Subject: "owner:acme", Limits: []apikey.Limit{{Name: "month", N: 1e9, Period: apikey.Monthly}}})
	var d limiter.Decision
	take := func(r limiter.Request) {
		p.step += time.Second
		if d, err = l.Take(b.Context(), r); err != nil || !d.Allowed {
			b.Fatal(d, err)
		}
	}
	used := func() (usec int64) {
		if _, line, ok := strings.Cut(p.send("INFO", "commandstats").Value, "cmdstat_evalsha:"); ok {
			var calls int64
			_, _ = fmt.Sscanf(line, "calls=%d,usec=%d", &calls, &usec)
		}
		return usec
	}
	for _, c := range []struct {
		name    string
		r       limiter.Request
		measure func(r limiter.Request) // after a Take, if it is not that which is measured
	}{
		{"floor", request("windows 12345678"), func(limiter.Request) {
			floor.Keys = []string{l.Key("windows 12345678")}
			must(b, p.Do(b.Context(), floor)[0].Err)
		}},
		{"two windows", request("windows 12345678"), nil},
		{"and an owner", owned, nil},
		{"and a slot", request("slotted 12345678", apikey.Limit{Name: "two", N: 2, Concurrent: true}), nil},
		{"settle", asks("settled 12345678", apikey.PerMinute(124), apikey.PerDay(50_000)), func(r limiter.Request) {
			_, err := l.Settle(b.Context(), r, d, limiter.Settlement{Cost: 2})
			must(b, err)
		}},
	} {
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			served := func() (usec int64) {
				before := used()
				take(c.r)
				if c.measure != nil {
					before = used()
					c.measure(c.r)
				}
				usec = used() - before
				if d.Slot != 0 {
					_, err := l.Settle(b.Context(), c.r, d, limiter.Settlement{Cost: 1, Over: true})
					must(b, err)
				}
				return usec
			}
			for range 150 {
				p.step += 10 * time.Minute
				for range 6 {
					take(c.r)
					if d.Slot != 0 {
						_, _ = l.Settle(b.Context(), c.r, d, limiter.Settlement{Cost: 1, Over: true})
					}
				}
			}
			for range 62 {
				served()
			}
			var sum int64
			for b.Loop() {
				sum += served()
			}
			b.ReportMetric(float64(sum)/float64(b.N), "server-us/op")
		})
	}
}
