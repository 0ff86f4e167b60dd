//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wontopos/latchkey/storage/redisstore/redistest"
)

// redis is the Redis that the instances count in. It writes to disk every
// second, and evicts nothing when memory is short.
type redis struct {
	server  *redistest.Server
	version string
	host    host
}

func openRedis(ctx context.Context) (*redis, error) {
	r := new(redis)
	err := r.host.do(func() {
		r.server = redistest.Start(&r.host, "--appendonly", "yes", "--appendfsync", "everysec")
		info, err := r.server.Client(&r.host).Info(ctx, "server").Result()
		if err != nil {
			r.host.Fatal(err)
		}
		_, r.version, _ = strings.Cut(info, "redis_version:")
		r.version, _, _ = strings.Cut(r.version, "\r\n")
	})
	if err != nil {
		r.host.end()
		return nil, err
	}
	return r, nil
}

func (r *redis) stop() error  { return r.host.do(func() { r.server.Stop() }) }
func (r *redis) start() error { return r.host.do(func() { r.server.Start(&r.host) }) }

// withoutRedis stops Redis and starts it again. Keys work on; of the limits each
// instance admits its share meanwhile.
func (c *cluster) withoutRedis(ctx, inTime context.Context) error {
	if c.redis == nil {
		return errors.New("the limits are not in Redis: -limits redis")
	}
	return c.rounds(inTime, func() error {
		if err := c.full(ctx); err != nil {
			return err
		}
		before, err := c.reports(ctx)
		if err != nil {
			return err
		}
		if err := c.redis.stop(); err != nil {
			return err
		}
		stopped := c.judge.now()
		if err := wait(ctx, c.o.outage); err != nil {
			return err
		}
		admitted := c.admitted(stopped)
		after, err := c.reports(ctx)
		if err != nil {
			return err
		}
		for i := range after {
			if after[i].Alone == before[i].Alone {
				return fmt.Errorf("%s did not notice that Redis was stopped", c.members[i].name)
			}
		}
		if err := c.redis.start(); err != nil {
			return err
		}
		back := c.judge.now()
		for _, m := range c.members {
			if err := c.counting(ctx, m); err != nil {
				return err
			}
		}
		together := c.judge.now()
		if err := wait(ctx, limitWindow); err != nil { // until all that counts was admitted together
			return err
		}
		c.judge.note("Redis was away for %.1f s: at most %d admitted in a window meanwhile, %d afterwards; counted together again %.1f s after it was back",
			(back - stopped).Seconds(), admitted, c.admitted(together), (together - back).Seconds())
		return nil
	})
}

// admitted holds the limited keys to the limit since an instant, and returns
// what the fullest window had.
func (c *cluster) admitted(since time.Duration) (fullest int) {
	for _, b := range c.limited() {
		most, _ := b.most(limitWindow, since)
		if fullest = max(fullest, most); most > limitN {
			c.judge.violation(ruleOver, "%d in %v, all without Redis or all with it, want at most %d", most, limitWindow, limitN)
		}
	}
	return fullest
}

// counting waits until an instance asks the shared limiter again.
func (c *cluster) counting(ctx context.Context, m *member) error {
	for begun := time.Now(); ; {
		r, err := m.health(ctx)
		if err == nil && !r.Degraded {
			return nil
		}
		if time.Since(begun) > 30*time.Second {
			return fmt.Errorf("%s has not found Redis again after half a minute (%v)", m.name, err)
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
