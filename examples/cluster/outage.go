//go:build unix

package main

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// outages takes the database away from all instances at once. Keys that are
// cached are served to the end of the lease; then there is only 503.
func (c *cluster) outages(ctx, inTime context.Context) error {
	return c.rounds(inTime, func() error {
		if err := c.full(ctx); err != nil {
			return err
		}
		var over []func()
		for _, m := range c.members {
			over = append(over, c.trouble(m))
		}
		before, err := c.reports(ctx)
		if err != nil {
			return err
		}
		began := c.judge.now()
		for i, m := range c.members {
			m.cutAt.Store(int64(c.judge.now()))
			m.cut(i%2 == 0)
		}
		cut := c.judge.now()
		c.without(ctx, began, cut)
		for _, m := range c.members {
			m.cutAt.Store(0)
			m.heal()
		}
		back := c.judge.now()
		for i, m := range c.members {
			if err := c.recovered(ctx, m); err != nil {
				return err
			}
			over[i]()
		}
		ready := c.judge.now()
		select {
		case <-time.After(300 * time.Millisecond): // a herd would come now
		case <-ctx.Done():
			return ctx.Err()
		}
		after, err := c.reports(ctx)
		if err != nil {
			return err
		}
		c.herd(before, after, c.judge.now()-cut)
		c.judge.note("away for %.1f s, ready %d ms after it was back", (back - cut).Seconds(), (ready - back).Milliseconds())
		return nil
	})
}

// full waits until the limited keys are at their limit.
func (c *cluster) full(ctx context.Context) error {
	before := 0
	for _, b := range c.limited() {
		before += b.refusals()
	}
	for {
		now := 0
		for _, b := range c.limited() {
			now += b.refusals()
		}
		if now > before+2*limitedKeys {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// without uses cached keys on all instances for as long as the outage lasts. The
// lease of each began between a third of it before the wires were cut and then,
// and a poll may have been under way.
func (c *cluster) without(ctx context.Context, began, cut time.Duration) {
	var users sync.WaitGroup
	defer users.Wait()
	for _, m := range c.members {
		users.Go(func() {
			for c.judge.now() < cut+c.o.outage && ctx.Err() == nil {
				sent := c.judge.now()
				status := c.ask(ctx, m, c.cached())
				now := c.judge.now()
				switch {
				case ctx.Err() != nil || status == http.StatusOK:
				case status != http.StatusServiceUnavailable:
					c.judge.violation(ruleOutage, "%s answers %d", m.name, status)
				case now < began+c.o.lease-c.o.lease/3-patience:
					c.judge.violation(ruleEarly, "by %s, sent %v after the outage began", m.name, sent-began)
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
}

// cached is a key that every instance has in its cache.
func (c *cluster) cached() *key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.good[0]
}
