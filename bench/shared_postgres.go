package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// lastQuestion remembers the last decision that was asked for, so that it can be
// asked again at another instant.
type lastQuestion struct {
	sql  string
	args []any
}

func (q *lastQuestion) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, "limit_use") {
		q.sql, q.args = data.SQL, data.Args
	}
	return ctx
}

func (*lastQuestion) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

const (
	postgresCallers = 16
	postgresNote    = `One decision is two exact windows of one key in one round trip; UPDATE adds 1 to a column of a row found by its primary key, and returns
it. Both on the same pool of %d connections, without a sync at the commit, on rows with room for HOT updates. %d rounds of %d calls of %d
callers, in which both take turns: %s.`
)

type postgresRun struct {
	out   *report
	shape sharedShape
	dsn   string
	pool  *pgxpool.Pool
	limit *pgstore.Limiter
}

func sharedPostgres(t *testing.T, out *report, shape sharedShape) (err error) {
	ctx := t.Context()
	dsn := ""
	if os.Getenv("LATCHKEY_TEST_PG_DSN") != "" {
		dsn = pgtest.DSN(t)
	} else {
		dsn = pgtest.Start(t).DSN()
	}
	p := &postgresRun{out: out, shape: shape, dsn: dsn + " options='-c synchronous_commit=off'"}
	config, err := pgxpool.ParseConfig(p.dsn)
	if err != nil {
		return err
	}
	config.MaxConns = postgresCallers
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	defer p.pool.Close()
	store, l, err := openPostgres(ctx, p.pool)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p.limit = l
	if _, err := p.pool.Exec(ctx, `CREATE TABLE bench_counts (subject bytea PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 50)`); err != nil {
		return err
	}
	return p.rates()
}

func openPostgres(ctx context.Context, pool *pgxpool.Pool) (*pgstore.Store, *pgstore.Limiter, error) {
	store, err := pgstore.New(ctx, pool, pgstore.Options{AutoMigrate: true, NoListen: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	l, err := pgstore.NewLimiter(store, pgstore.LimiterOptions{Timeout: 20 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	return store, l, err
}

func (p *postgresRun) rates() error {
	n := p.shape.keys
	hot := []apikey.Limit{apikey.PerMinute(apikey.MaxLimitN), apikey.PerDay(apikey.MaxLimitN)}
	for _, x := range []struct {
		title, how string
		n          int
		subject    func(i int) int
		requests   []limiter.Request
		fill       func(context.Context) error
		least      float64
	}{
		{
			"shared: decisions in PostgreSQL, many keys", "each key is used once a turn, and has been used as often before as there were turns",
			n, func(i int) int { return i }, requestsOf(n, freeLimits()), nil, leastManyRows,
		},
		{
			"shared: decisions in PostgreSQL, one key", "all are for one key, whose limits of 10^9 count in segments",
			n / 2, func(int) int { return n }, nil, nil, leastOneRow,
		},
		{
			"shared: decisions in PostgreSQL, many keys with full windows", "each key is used once a turn, with a request in each of the last 60 seconds, and some in each of the day's 144 segments",
			n, func(i int) int { return i }, requestsOf(n, freeLimits()), p.fill, 0,
		},
	} {
		if x.requests == nil {
			one := limiter.Request{Demands: []limiter.Demand{{Subject: subjectOf(n), Limits: hot}}}
			for range x.n {
				x.requests = append(x.requests, one)
			}
		}
		names := make([][]byte, x.n)
		for i := range names {
			names[i] = []byte(subjectOf(x.subject(i)))
		}
		ctx := context.Background()
		arms := []*sharedArm{
			{name: "UPDATE … RETURNING", call: func(i int) error {
				var sum int64
				return p.pool.QueryRow(ctx, `UPDATE bench_counts SET n = n + 1 WHERE subject = $1 RETURNING n`, names[i]).Scan(&sum)
			}},
			{name: "latchkey", call: taker(p.limit, x.requests)},
		}
		if x.fill != nil {
			arms[1].prepare = func(int) error { return x.fill(ctx) }
		}
		if _, err := p.pool.Exec(ctx, `INSERT INTO bench_counts SELECT name, 0 FROM unnest($1::bytea[]) AS name ON CONFLICT DO NOTHING`, names); err != nil {
			return err
		}
		if err := eachOf(postgresCallers, x.n, arms[1].call); err != nil { // the rows
			return err
		}
		if err := p.vacuum(ctx); err != nil {
			return err
		}
		if err := takeTurns(p.out, x.title, arms, p.shape.rounds, postgresCallers, x.n); err != nil {
			return err
		}
		reportTurns(p.out, x.title, fmt.Sprintf(postgresNote, postgresCallers, p.shape.rounds, x.n, postgresCallers, x.how), arms)
		if x.least > 0 {
			p.out.atLeast(x.least, "two exact windows in PostgreSQL, rate / UPDATE … RETURNING", x.title, arms[1].over(arms[0], rateOf))
		}
	}
	return nil
}

func (p *postgresRun) vacuum(ctx context.Context) error {
	_, err := p.pool.Exec(ctx, `VACUUM ANALYZE`)
	return err
}

// fill puts all rows into the state of a key that was used for a day.
func (p *postgresRun) fill(ctx context.Context) (err error) {
	question := &lastQuestion{}
	config, err := pgxpool.ParseConfig(p.dsn)
	if err != nil {
		return err
	}
	config.ConnConfig.Tracer = question
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	store, l, err := openPostgres(ctx, pool)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	const template = "key:template"
	r := limiter.Request{Demands: []limiter.Demand{{Subject: template, Limits: freeLimits()}}}
	by := map[int64]lastQuestion{}
	for _, cost := range []int64{6, 1} {
		r.Cost = cost
		if _, err := l.Take(ctx, r); err != nil {
			return err
		}
		by[cost] = *question
	}
	if _, err := p.pool.Exec(ctx, `DELETE FROM latchkey.limits`); err != nil {
		return err
	}
	if err := aDay(time.Now(), func(at time.Time, cost int64) error {
		q := by[cost]
		q.args[len(q.args)-1] = at.UnixNano() / 1000 * 1000
		_, err := p.pool.Exec(ctx, q.sql, q.args...)
		return err
	}); err != nil {
		return err
	}
	if _, err := p.pool.Exec(ctx, `INSERT INTO latchkey.limits (subject, idle_at, counts)
		SELECT convert_to('key:' || lpad(i::text, 16, '0'), 'UTF8'), idle_at, counts FROM latchkey.limits, generate_series(0, $1::int - 1) AS i
		WHERE subject = $2`, p.shape.keys, []byte(template)); err != nil {
		return err
	}
	return p.vacuum(ctx)
}
