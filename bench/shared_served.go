package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore"
)

// servedScript is something whose time the server counts.
type servedScript struct {
	name   string
	before func(n int) error // what goes before is not counted
	call   func(i int) error
	after  func(n int) error
	us     []float64 // a decision, batch by batch
}

// floorScript does the least that a limiter in one script must do.
var floorScript = rueidis.NewLuaScript(`local raw = redis.call('GET', KEYS[1])
local t = redis.call('TIME')
redis.call('SET', KEYS[1], raw, 'PX', 86400000)
return 'x'`)

const (
	servedTitle = "shared: time in the Redis server"
	servedNote  = `By the server's own statistics (INFO commandstats, EVALSHA): time in the command, without network and
protocol. Windows are full, and one request leaves the minute's with each call. %d batches of %d calls of 16
callers, in which all take turns. µs are medians of the batches' means, ratios medians of those within a round. The floor is a script
of GET, TIME and SET PX, on a value of the same size; of redis_rate and ulule, both calls of a decision are counted. "in general" has
a cost of its own unit in the day's window, "with a slot" a limit on requests in progress in addition; settling changes the costs in both windows.`
)

// served measures time in the server.
func (r *redisRun) served() error {
	scripts, closing, err := r.scripts()
	if err != nil {
		return err
	}
	defer closing()
	for round := range r.shape.batches {
		if round%20 == 0 {
			r.out.progress("%s: batch %d of %d", servedTitle, round+1, r.shape.batches)
		}
		for turn := range scripts {
			s := scripts[(turn+round)%len(scripts)]
			if err := r.batch(s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	r.out.tables = append(r.out.tables, table{
		title: servedTitle, note: fmt.Sprintf(servedNote, r.shape.batches, r.shape.batch) + " " + machineLoad(),
		columns: []string{"script", "µs", "fastest", "/ floor", "/ two windows"},
	})
	floor, two := scripts[0], scripts[1]
	over := func(a, b *servedScript) (q []float64) {
		for i := range a.us {
			q = append(q, a.us[i]/b.us[i])
		}
		return q
	}
	for _, s := range scripts {
		r.out.row(servedTitle, s.name, ratioText(median(s.us)), ratioText(slices.Min(s.us)), ratioText(median(over(s, floor))), ratioText(median(over(s, two))))
	}
	// The extremes of so many small batches are those of the machine.
	judge := func(most float64, a, b *servedScript) {
		m := median(over(a, b))
		r.out.goal(m <= most, "in the Redis server: "+a.name+" / "+b.name, "full windows", ratioText(m)+"x", fmt.Sprintf("<= %.1fx", most))
	}
	judge(mostOverFloor, two, floor)
	judge(mostGeneral, scripts[2], two)
	judge(mostWithSlot, scripts[3], two)
	judge(mostSettle, scripts[4], two)
	return nil
}

func (r *redisRun) scripts() (all []*servedScript, closing func(), err error) {
	ctx, n := context.Background(), r.shape.batch
	free := freeLimits()
	tokens := apikey.Limit{Name: "tokens", N: 1_000_000, Window: day, Unit: "tokens"}
	var limiters []*redisstore.Limiter
	closing = func() {
		for _, l := range limiters {
			_ = l.Close(ctx)
		}
	}
	open := func(prefix string, limits []apikey.Limit, amounts ...limiter.Amount) (*stock, *redisstore.Limiter) {
		s := newStock(r.rueidis, prefix, n, limits, amounts...)
		l, made := s.limiter()
		if made != nil {
			err = made
		}
		limiters = append(limiters, l)
		return s, l
	}
	two, twoLimiter := open("two:", free)
	general, generalLimiter := open("gen:", []apikey.Limit{free[0], tokens}, limiter.Amount{Unit: "tokens", N: 250})
	slotted, slottedLimiter := open("slo:", append(slices.Clone(free), apikey.Limit{Name: "two", N: 2, Concurrent: true}))
	settled, settledLimiter := open("set:", free)
	if err != nil {
		return nil, closing, err
	}
	decisions := make([]limiter.Decision, n)
	take := func(s *stock, l *redisstore.Limiter) func(i int) error {
		return func(i int) (err error) {
			if decisions[i], err = l.Take(ctx, s.requests[i]); err == nil && !decisions[i].Allowed {
				err = fmt.Errorf("refused: %v", decisions[i])
			}
			return err
		}
	}
	settle := func(s *stock, l *redisstore.Limiter, cost int64) func(i int) error {
		return func(i int) error {
			_, err := l.Settle(ctx, s.requests[i], decisions[i], limiter.Settlement{Cost: cost, Over: true})
			return err
		}
	}
	names := make([]string, n)
	for i := range names {
		names[i] = "floor:" + subjectOf(i)
	}
	all = []*servedScript{
		{
			name: "floor",
			before: func(n int) error {
				if err := two.fill(); err != nil {
					return err
				}
				return two.copyAs("floor:"+subjectFormat, n)
			},
			call: func(i int) error { return floorScript.Exec(ctx, r.rueidis, names[i:i+1], nil).Error() },
		},
		{name: "two windows", before: two.prepare, call: take(two, twoLimiter)},
		{name: "in general", before: general.prepare, call: take(general, generalLimiter)},
		{
			name: "with a slot", before: slotted.prepare, call: take(slotted, slottedLimiter),
			after: func(n int) error { return eachOf(16, n, settle(slotted, slottedLimiter, 1)) },
		},
		{
			name: "settle",
			before: func(n int) error {
				if err := settled.prepare(n); err != nil {
					return err
				}
				return eachOf(16, n, take(settled, settledLimiter))
			},
			call: settle(settled, settledLimiter, 2),
		},
		{name: "redis_rate, two calls", before: r.forget("rate:*"), call: r.rateCall()},
		{name: "ulule, two calls", before: r.forget("limiter:*"), call: r.ululeCall()},
	}
	return all, closing, nil
}

// batch makes one batch of calls.
func (r *redisRun) batch(s *servedScript) error {
	n := r.shape.batch
	if err := s.before(n); err != nil {
		return err
	}
	before, err := r.evalTime()
	if err != nil {
		return err
	}
	if err := eachOf(16, n, s.call); err != nil {
		return err
	}
	after, err := r.evalTime()
	if err != nil {
		return err
	}
	s.us = append(s.us, max(float64(after-before)/float64(n), 0.01))
	if s.after != nil {
		return s.after(n)
	}
	return nil
}

// evalTime returns the microseconds that the server has spent in EVALSHA.
func (r *redisRun) evalTime() (us int64, err error) {
	info, err := r.rueidis.Do(context.Background(), r.rueidis.B().Info().Section("commandstats").Build()).ToString()
	if err != nil {
		return 0, err
	}
	_, line, found := strings.Cut(info, "cmdstat_evalsha:")
	_, rest, more := strings.Cut(line, "usec=")
	number, _, _ := strings.Cut(rest, ",")
	if !found || !more { // none was made yet
		return 0, nil
	}
	return strconv.ParseInt(number, 10, 64)
}

const sizeTitle = "shared: bytes of a key in Redis"

// size measures what a key on the free plan takes.
func (r *redisRun) size() error {
	s := newStock(r.rueidis, "latchkey:", 1, freeLimits())
	l, err := s.limiter()
	if err != nil {
		return err
	}
	r.out.tables = append(r.out.tables, table{
		title: sizeTitle, note: "On the free plan, with an id of 20 bytes. MEMORY USAGE counts the name, the value, and what Redis needs for both; STRLEN the value. The goals are on MEMORY USAGE.",
		columns: []string{"key", "MEMORY USAGE", "STRLEN"},
	})
	if err := s.fill(); err != nil {
		return err
	}
	name := strings.Replace(s.template, "key:template", subjectOf(0), 1)
	for _, x := range []struct {
		name    string
		prepare func(int) error
		most    int64
	}{{"used once", func(int) error { return nil }, mostUsedOnce}, {"windows full", s.prepare, mostActive}} {
		if err := x.prepare(1); err != nil {
			return err
		}
		if err := taker(l, s.requests)(0); err != nil {
			return err
		}
		ctx := context.Background()
		bytes, err := r.rueidis.Do(ctx, r.rueidis.B().MemoryUsage().Key(name).Build()).ToInt64()
		if err != nil {
			return err
		}
		length, err := r.rueidis.Do(ctx, r.rueidis.B().Strlen().Key(name).Build()).ToInt64()
		if err != nil {
			return err
		}
		r.out.row(sizeTitle, x.name, fmt.Sprint(bytes), fmt.Sprint(length))
		r.out.must(bytes <= x.most, "bytes of a key in Redis, "+x.name, "MEMORY USAGE, free plan", fmt.Sprint(bytes), fmt.Sprintf("<= %d", x.most))
	}
	return nil
}
