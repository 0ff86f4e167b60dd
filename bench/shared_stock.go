package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore"
	"github.com/wontopos/latchkey/storage/redisstore/rueidisstore"
)

// pastClient lets the script of the limiter run at an instant of our choice, so
// that a day passes in no time. All else it does as the script does it.
type pastClient struct {
	rueidis.Client
	at  time.Time
	key string // the last one asked
}

func (*pastClient) Cluster() bool { return false }

func (p *pastClient) Do(ctx context.Context, calls ...redisstore.Call) []redisstore.Reply {
	replies := make([]redisstore.Reply, len(calls))
	for i, call := range calls {
		source := strings.Replace(call.Source, "call('TIME')", "{ ARGV[2], ARGV[3] }", 1)
		switch source {
		case "":
			replies[i].Err = errors.New("NOSCRIPT: the source is needed")
			continue
		case call.Source:
			replies[i].Err = errors.New("the script does not ask for the time as it did")
			continue
		}
		p.key = call.Keys[0]
		seconds, micros := strconv.FormatInt(p.at.Unix(), 10), strconv.Itoa(p.at.Nanosecond()/1000)
		command := p.B().Eval().Script(source).Numkeys(int64(len(call.Keys))).Key(call.Keys...).Arg(call.Arg, seconds, micros).Build()
		replies[i].Value, replies[i].Err = p.Client.Do(ctx, command).ToString()
	}
	return replies
}

// stock is many keys that are all in the state of one whose windows are full.
type stock struct {
	client   rueidis.Client
	prefix   string
	limits   []apikey.Limit
	requests []limiter.Request
	template string // key in Redis
	filled   time.Time
}

// patientOptions bear with a machine that is busy with others.
func patientOptions(prefix string) redisstore.LimiterOptions {
	return redisstore.LimiterOptions{Prefix: prefix, Timeout: 20 * time.Second, Logger: slog.New(slog.DiscardHandler)}
}

func newStock(c rueidis.Client, prefix string, n int, limits []apikey.Limit, amounts ...limiter.Amount) *stock {
	return &stock{client: c, prefix: prefix, limits: limits, requests: requestsOf(n, limits, amounts...)}
}

// limiter returns one over rueidis.
func (s *stock) limiter() (*redisstore.Limiter, error) {
	return rueidisstore.NewLimiter(s.client, patientOptions(s.prefix))
}

// aDay is the use of a key on the free plan for a day: some in each of the 144
// segments of the day, and one a second in the last minute, the first of which is
// about to leave.
func aDay(now time.Time, use func(at time.Time, cost int64) error) error {
	for at := now.Add(-day + 10*time.Minute); at.Before(now.Add(-2 * time.Minute)); at = at.Add(10 * time.Minute) {
		if err := use(at, 6); err != nil {
			return err
		}
	}
	for i := range freePlan.minute {
		if err := use(now.Add(-time.Minute+time.Duration(i)*time.Second), 1); err != nil {
			return err
		}
	}
	return nil
}

// fill makes the template, unless there is one that is young enough: of its
// minute one request leaves each second.
func (s *stock) fill() error {
	if time.Since(s.filled) < 300*time.Millisecond {
		return nil
	}
	past := &pastClient{Client: s.client}
	l, err := redisstore.NewLimiter(past, patientOptions(s.prefix))
	if err != nil {
		return err
	}
	ctx := context.Background()
	defer func() { _ = l.Close(ctx) }()
	r := s.requests[0]
	r.Demands = []limiter.Demand{{Subject: "key:template", Limits: slices.DeleteFunc(slices.Clone(s.limits), func(l apikey.Limit) bool { return l.Concurrent })}}
	if s.template != "" {
		if err := s.client.Do(ctx, s.client.B().Del().Key(s.template).Build()).Error(); err != nil {
			return err
		}
	}
	s.filled = time.Now()
	err = aDay(s.filled, func(at time.Time, cost int64) error {
		past.at, r.Cost = at, cost
		d, err := l.Take(ctx, r)
		if err == nil && !d.Allowed {
			err = fmt.Errorf("a day's use is over the limits: %v", d)
		}
		return err
	})
	s.template = past.key
	return err
}

var copyScript = rueidis.NewLuaScript(`for i = 0, ARGV[2] - 1 do redis.call('COPY', KEYS[1], string.format(ARGV[1], i), 'REPLACE') end return 1`)

// prepare puts the first n keys into the state of the template.
func (s *stock) prepare(n int) error {
	if err := s.fill(); err != nil {
		return err
	}
	return s.copyAs(strings.Replace(s.template, "key:template", subjectFormat, 1), n)
}

// copyAs copies the template to keys whose names are of a format.
func (s *stock) copyAs(format string, n int) error {
	return copyScript.Exec(context.Background(), s.client, []string{s.template}, []string{format, strconv.Itoa(n)}).Error()
}

// taker returns a call that wants request i to be admitted.
func taker(l limiter.Limiter, requests []limiter.Request) func(i int) error {
	ctx := context.Background()
	return func(i int) error {
		d, err := l.Take(ctx, requests[i])
		if err == nil && !d.Allowed {
			err = fmt.Errorf("refused: %v", d)
		}
		return err
	}
}
