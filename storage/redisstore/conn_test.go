package redisstore_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore"
	"github.com/wontopos/latchkey/storage/redisstore/goredisstore"
	"github.com/wontopos/latchkey/storage/redisstore/rueidisstore"
)

var quiet = slog.New(slog.DiscardHandler)

// patient is for tests on machines that are busy with others.
var patient = redisstore.LimiterOptions{Timeout: 20 * time.Second, Credits: true, Logger: quiet}

// clients make a limiter with either client of servers at these addresses: one
// server, nodes of a cluster, or sentinels.
type opener = func(t testing.TB, o redisstore.LimiterOptions, addrs ...string) *redisstore.Limiter

var clients = map[string]opener{
	"rueidis": func(t testing.TB, o redisstore.LimiterOptions, addrs ...string) *redisstore.Limiter {
		return overRueidis(t, rueidis.ClientOption{InitAddress: addrs}, o)
	},
	"go-redis": func(t testing.TB, o redisstore.LimiterOptions, addrs ...string) *redisstore.Limiter {
		return overGoRedis(t, &redis.UniversalOptions{Addrs: addrs}, o)
	},
}

func overRueidis(t testing.TB, ro rueidis.ClientOption, o redisstore.LimiterOptions) *redisstore.Limiter {
	t.Helper()
	ro.DisableCache = true
	c, err := rueidis.NewClient(ro)
	must(t, err)
	t.Cleanup(c.Close)
	l, err := rueidisstore.NewLimiter(c, o)
	must(t, err)
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

func overGoRedis(t testing.TB, ro *redis.UniversalOptions, o redisstore.LimiterOptions) *redisstore.Limiter {
	t.Helper()
	c := redis.NewUniversalClient(ro)
	t.Cleanup(func() { _ = c.Close() })
	l, err := goredisstore.NewLimiter(c, o)
	must(t, err)
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

// each runs a test with either client.
func each(t *testing.T, test func(t *testing.T, open opener)) {
	for name, open := range clients {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func takes(t testing.TB, l limiter.Limiter, r limiter.Request) limiter.Decision {
	t.Helper()
	d, err := l.Take(t.Context(), r)
	must(t, err)
	return d
}
