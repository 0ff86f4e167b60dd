//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if config := os.Getenv(asInstance); config != "" {
		err = serve(ctx, config)
	} else {
		_, err = run(ctx, os.Args[1:], os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	chaos    string
	duration time.Duration
	revokes  int
	rounds   int
	rate     int
	revokers int
	keys     int
	lease    time.Duration
	goal     time.Duration
	outage   time.Duration
	async    bool
	limits   string
	before   string
}

// script is something that is done to the instances, or left undone.
type script struct {
	name, heading string
	play          func(c *cluster, ctx, inTime context.Context) error
	more          int // how much more than the limit a window may admit, or shares
}

// share is what an instance may admit of the limit on its own.
const share = limitN / instances

// shares is a share for each instance that lost its servers within the window.
const shares = -1

var scripts = []script{
	{"none", "keys are revoked on one instance, and used on all", (*cluster).calm, 0},
	{"fresh", "keys are created on one instance, and used at once on all", (*cluster).fresh, 0},
	{"rotate", "keys of the load get new secrets, and the old ones are ended", (*cluster).rotations, 0},
	{"partition", "an instance loses its servers around a revocation", (*cluster).partitions, shares},
	{"stop", "an instance stands still (SIGSTOP) for three leases, while a key is revoked", (*cluster).stops, share},
	{"outage", "all instances lose their servers for longer than the lease", (*cluster).outages, 0},
	{"redis", "Redis is stopped, and started again: of the limits each instance admits its share meanwhile", (*cluster).withoutRedis, instances * share},
	// A crash loses up to 0.6 seconds of counts, and the load brings twice the limit.
	{"kill", "PostgreSQL is killed (SIGKILL) while keys are revoked, and started again", (*cluster).kills, instances*share + 2*limitN*6/100},
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.StringVar(&o.chaos, "chaos", "all", "what to do: "+strings.Join(names(), ", ")+" or all")
	flags.DurationVar(&o.duration, "duration", 20*time.Second, "how long each takes at most; 0 is as long as it takes")
	flags.IntVar(&o.revokes, "revokes", 500, "none, fresh: how many keys to revoke, or to create")
	flags.IntVar(&o.rounds, "rounds", 3, "rotate, partition, stop, outage, redis, kill: how many times")
	flags.IntVar(&o.rate, "verify-rate", 500, "requests a `second`, over all instances, beside the probes of the keys that are being revoked")
	flags.IntVar(&o.revokers, "revokers", 1, "none, fresh, rotate, kill: how many at a time")
	flags.IntVar(&o.keys, "keys", 200, "good keys that the load uses")
	flags.DurationVar(&o.lease, "lease", 3*time.Second, "length of the lease")
	flags.DurationVar(&o.goal, "goal", 50*time.Millisecond, "none: the 99th percentile from a revocation to 401 elsewhere should be below; 0 is no goal")
	flags.DurationVar(&o.outage, "outage", 10*time.Second, "outage, redis: how long each lasts")
	flags.BoolVar(&o.async, "async", false, "let Revoke return at the commit (LeaseOptions.Async), to see that stale accepts are seen")
	flags.StringVar(&o.limits, "limits", "redis", "where the instances count for the limits: redis or postgres")
	flags.StringVar(&o.before, "before", "", "a `program` built from another version of this one, to run as instance one")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.chaos != "all" && !slices.Contains(names(), o.chaos) {
		return o, fmt.Errorf("-chaos %s: there are %s and all", o.chaos, strings.Join(names(), ", "))
	}
	if o.revokes < 0 || o.rounds < 0 || o.rate < 1 || o.revokers < 1 || o.keys < 1 || o.lease < 100*time.Millisecond {
		return o, errors.New("-revokes, -rounds, -verify-rate, -revokers, -keys must be positive, and -lease at least 100ms")
	}
	switch {
	case o.limits != "redis" && o.limits != "postgres":
		return o, fmt.Errorf("-limits %s: there are redis and postgres", o.limits)
	case o.before != "" && o.limits != "postgres":
		return o, errors.New("-before: another version may know no Redis: -limits postgres")
	}
	return o, nil
}

func names() (all []string) {
	for _, s := range scripts {
		all = append(all, s.name)
	}
	return all
}

var errBroken = errors.New("an invariant was broken")

// run plays the scripts. The judge tells what it saw; it is nil when the
// cluster did not start.
func run(ctx context.Context, args []string, out io.Writer) (*judge, error) {
	o, err := parse(args)
	if err != nil {
		return nil, err
	}
	c, err := start(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.close()
	fmt.Fprintf(out, "%s, three instances behind proxies, lease %v, %d good keys, %d requests/s\n", c.versions(), o.lease, o.keys, o.rate)

	loading, endLoad := context.WithCancel(ctx)
	defer endLoad()
	c.running.Go(func() { c.load(loading) })
	c.running.Go(func() { c.flood(loading) })
	c.running.Go(func() { c.watch(loading, out) })
	for _, s := range scripts {
		if o.chaos != "all" && o.chaos != s.name {
			continue
		}
		if s.name == "kill" && c.db.server == nil && o.chaos == "all" {
			fmt.Fprintln(out, "\nkill is left out: the server of LATCHKEY_TEST_PG_DSN is not ours")
			continue
		}
		if s.name == "redis" && c.redis == nil && o.chaos == "all" {
			fmt.Fprintln(out, "\nredis is left out: the limits are in PostgreSQL")
			continue
		}
		if err := c.play(ctx, s, out); err != nil {
			return c.judge, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	endLoad()
	c.running.Wait()
	c.judge.summary(out)
	if c.judge.broken() {
		return c.judge, errBroken
	}
	return c.judge, nil
}

// play runs one script until it is through, or its time is over.
func (c *cluster) play(ctx context.Context, s script, out io.Writer) error {
	if err := c.limit(ctx); err != nil {
		return err
	}
	inTime, cancel := ctx, context.CancelFunc(func() {})
	if c.o.duration > 0 {
		inTime, cancel = context.WithTimeout(ctx, c.o.duration)
	}
	defer cancel()
	fmt.Fprintf(out, "\n%s: %s\n", s.name, s.heading)
	c.judge.begin(s.name)
	c.heading.Store(true)
	err := s.play(c, ctx, inTime)
	c.settleLimits(s.more)
	return err
}
