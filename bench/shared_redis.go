package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	ululelimiter "github.com/ulule/limiter/v3"
	ululeredis "github.com/ulule/limiter/v3/drivers/store/redis"

	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore/goredisstore"
	"github.com/wontopos/latchkey/storage/redisstore/redistest"
)

// redisRun is what the parts of the suite on one server have in common.
type redisRun struct {
	out     *report
	shape   sharedShape
	rueidis rueidis.Client
	goredis *redis.Client
	rate    *redis_rate.Limiter
	ulule   ululelimiter.Store
}

func sharedRedis(t *testing.T, out *report, shape sharedShape) (err error) {
	server := redistest.Start(t)
	r := &redisRun{out: out, shape: shape}
	if r.rueidis, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, DisableCache: true}); err != nil {
		return err
	}
	defer r.rueidis.Close()
	r.goredis = redis.NewClient(&redis.Options{Addr: server.Addr(), PoolSize: 128})
	defer func() { err = errors.Join(err, r.goredis.Close()) }()
	r.rate = redis_rate.NewLimiter(r.goredis)
	if r.ulule, err = ululeredis.NewStore(r.goredis); err != nil {
		return err
	}
	for _, part := range []func() error{r.size, r.served, r.speed, r.floodOf, r.edges} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

const (
	floorRueidis = "a script of GET, TIME and SET, rueidis"
	ourRueidis   = "latchkey, rueidis"
	ourGoRedis   = "latchkey, go-redis"
	ourShared    = "latchkey, rueidis, behind limiter.Shared"
	twoRate      = "redis_rate, go-redis: two calls"
	twoUlule     = "ulule, go-redis: two calls"
)

// rateCall charges both limits of a key with redis_rate.
func (r *redisRun) rateCall() func(i int) error {
	ctx := context.Background()
	day := redis_rate.Limit{Rate: int(freePlan.day), Burst: int(freePlan.day), Period: day}
	return func(i int) error {
		for _, l := range []struct {
			key   string
			limit redis_rate.Limit
		}{{subjectOf(i) + ":minute", redis_rate.PerMinute(int(freePlan.minute))}, {subjectOf(i) + ":day", day}} {
			if got, err := r.rate.Allow(ctx, l.key, l.limit); err != nil {
				return err
			} else if got.Allowed != 1 {
				return errors.New("redis_rate refused")
			}
		}
		return nil
	}
}

// ululeCall does so with ulule/limiter.
func (r *redisRun) ululeCall() func(i int) error {
	ctx := context.Background()
	minutes := ululelimiter.New(r.ulule, ululelimiter.Rate{Period: time.Minute, Limit: freePlan.minute})
	days := ululelimiter.New(r.ulule, ululelimiter.Rate{Period: day, Limit: freePlan.day})
	return func(i int) error {
		minute, err := minutes.Get(ctx, subjectOf(i)+":minute")
		if err != nil {
			return err
		}
		day, err := days.Get(ctx, subjectOf(i)+":day")
		if err == nil && (minute.Reached || day.Reached) {
			err = errors.New("ulule refused")
		}
		return err
	}
}

// forget removes the keys of the rivals, which may be used sixty times a minute.
func (r *redisRun) forget(pattern string) func(int) error {
	return func(int) error {
		return r.goredis.Eval(context.Background(), `for _, k in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('UNLINK', k) end return 1`, []string{"any"}, pattern).Err()
	}
}

const speedNote = `One decision is two exact windows of one key, 60 a minute and 1,000 a day, in one call of a script; with redis_rate and ulule it
is two calls. Each key is used once a turn. Ours begin it with full windows: a request in each of the last 60 seconds, and some in each
of the day's 144 segments. %d rounds of %d decisions of %s, in which all take turns. Server and callers share this machine's cores; rueidis
sends the calls of all callers over one connection, go-redis has a pool of 128. INCR is one command without a deadline.`

// speed measures decisions from outside.
func (r *redisRun) speed() (err error) {
	n := r.shape.keys
	stocks := make([]*stock, 3)
	for i, prefix := range []string{"r:", "g:", "s:"} {
		stocks[i] = newStock(r.rueidis, prefix, n, freeLimits())
	}
	overRueidis, err := stocks[0].limiter()
	if err != nil {
		return err
	}
	overGoRedis, err := goredisstore.NewLimiter(r.goredis, patientOptions(stocks[1].prefix))
	if err != nil {
		return err
	}
	behind, err := stocks[2].limiter()
	if err != nil {
		return err
	}
	front, err := limiter.NewShared(behind, limiter.SharedOptions{Timeout: 20 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	ctx := context.Background()
	names, floors := make([]string, n), make([]string, n)
	for i := range names {
		names[i], floors[i] = "incr:"+subjectOf(i), "floor:"+subjectOf(i)
	}
	arms := []*sharedArm{
		{name: "INCR, rueidis", call: func(i int) error {
			return r.rueidis.Do(ctx, r.rueidis.B().Incr().Key(names[i]).Build()).Error()
		}},
		{name: "INCR, go-redis", call: func(i int) error { return r.goredis.Incr(ctx, names[i]).Err() }},
		{
			name: floorRueidis, prepare: func(n int) error {
				if err := stocks[0].fill(); err != nil {
					return err
				}
				return stocks[0].copyAs("floor:"+subjectFormat, n)
			},
			call: func(i int) error { return floorScript.Exec(ctx, r.rueidis, floors[i:i+1], nil).Error() },
		},
		{name: ourRueidis, prepare: stocks[0].prepare, call: taker(overRueidis, stocks[0].requests)},
		{name: ourShared, prepare: stocks[2].prepare, call: taker(front, stocks[2].requests)},
		{name: ourGoRedis, prepare: stocks[1].prepare, call: taker(overGoRedis, stocks[1].requests)},
		{name: twoRate, prepare: r.forget("rate:*"), call: r.rateCall()},
		{name: twoUlule, prepare: r.forget("limiter:*"), call: r.ululeCall()},
	}
	incr, ours, goredis, rate := arms[0], arms[3], arms[5], arms[6]
	for _, x := range []struct{ callers, calls int }{{1, n / 10}, {16, n / 2}, {128, n}} {
		title := fmt.Sprintf("shared: decisions in Redis, %s", counted(x.callers, "caller"))
		if err := takeTurns(r.out, title, arms, r.shape.rounds, x.callers, x.calls); err != nil {
			return err
		}
		reportTurns(r.out, title, fmt.Sprintf(speedNote, r.shape.rounds, x.calls, counted(x.callers, "caller")), arms)
		switch x.callers {
		case 1:
			r.out.atMost(mostAlone, "two exact windows in Redis, p50 / INCR", title, ours.over(incr, p50Of))
		case 16:
			r.out.atMost(mostAmongSome, "two exact windows in Redis, p50 / INCR", title, ours.over(incr, p50Of))
		default:
			r.out.atLeast(leastAmongMany, "two exact windows in Redis, rate / INCR", title, ours.over(incr, rateOf))
			r.out.atLeast(leastSameClient, "the same client, rate / two calls of redis_rate", title, goredis.over(rate, rateOf))
			r.out.atLeast(leastBestClient, "each with its best client, rate / two calls of redis_rate", title, ours.over(rate, rateOf))
		}
	}
	return nil
}

const floodShared = "shared: a flood over the limit, limiter.Shared over Redis"

// floodOf asks again and again for a key that has nothing left.
func (r *redisRun) floodOf() error {
	s := newStock(r.rueidis, "f:", 1, freeLimits())
	if err := s.prepare(1); err != nil {
		return err
	}
	l, err := s.limiter()
	if err != nil {
		return err
	}
	front, err := limiter.NewShared(l, limiter.SharedOptions{Timeout: 20 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	r.out.tables = append(r.out.tables, table{
		title: floodShared, note: fmt.Sprintf("Callers that ask at once again for one key whose minute is full, for %v. Round trips are calls that the limiter in Redis got.", r.shape.flood),
		columns: []string{"callers", "decisions a second", "refused", "round trips a second"},
	})
	for _, callers := range []int{1, 128} {
		r.out.progress("%s: %d callers", floodShared, callers)
		before, _, _ := front.Decisions()
		admitted, decided := make([]int, callers), make([]int, callers)
		start := time.Now()
		err := eachOf(callers, callers, func(c int) error {
			for time.Since(start) < r.shape.flood {
				d, err := front.Take(context.Background(), s.requests[0])
				if err != nil {
					return err
				}
				if decided[c]++; d.Allowed {
					admitted[c]++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		took, sum, good := time.Since(start).Seconds(), 0, 0
		for c := range callers {
			sum, good = sum+decided[c], good+admitted[c]
		}
		after, _, _ := front.Decisions()
		trips := float64(after-before-uint64(good)) / took
		r.out.row(floodShared, fmt.Sprint(callers), fmt.Sprintf("%.0f", float64(sum)/took), fmt.Sprintf("%.4f %%", 100*float64(sum-good)/float64(sum)), fmt.Sprintf("%.1f", trips))
		r.out.goal(trips <= mostFloodTrips, "round trips of a flood over the limit, those that admit left out", counted(callers, "caller"), fmt.Sprintf("%.1f a second", trips), fmt.Sprintf("<= %.0f", mostFloodTrips))
	}
	return nil
}
