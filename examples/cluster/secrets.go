//go:build unix

package main

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// together plays up to a number of turns, several at a time, and returns the
// first error.
func (c *cluster) together(inTime context.Context, turns, atATime int, turn func() error) error {
	var (
		tickets atomic.Int64
		group   sync.WaitGroup
		failed  = make(chan error, atATime)
	)
	for range atATime {
		group.Go(func() {
			for inTime.Err() == nil && tickets.Add(1) <= int64(turns) {
				if err := turn(); err != nil {
					failed <- err
					return
				}
				c.judge.with(func(f *figures) { f.rounds++ })
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// fresh creates keys on one instance and uses each at once on all the others.
func (c *cluster) fresh(ctx, inTime context.Context) error {
	defer c.undisturbed()
	return c.together(inTime, c.o.revokes, c.o.revokers, func() error {
		by := c.any()
		k, err := c.issue(ctx, by, "load")
		if err != nil {
			return err
		}
		c.everywhere(ctx, k, ruleFresh)
		return nil
	})
}

// everywhere uses a secret that must work once on every instance.
func (c *cluster) everywhere(ctx context.Context, k *key, rule string) {
	var uses sync.WaitGroup
	for _, m := range c.members {
		uses.Go(func() {
			if status := c.ask(ctx, m, k); status != http.StatusOK && ctx.Err() == nil {
				c.judge.violation(rule, "%s answers %d", m.name, status)
			}
		})
	}
	uses.Wait()
}

// rotations gives keys of the load new secrets: both work, the clients change
// over, and the old one is ended. No request fails, but those with the old secret
// after that.
func (c *cluster) rotations(ctx, inTime context.Context) error {
	defer c.strict()
	var next atomic.Int64
	return c.together(inTime, c.o.rounds, min(c.o.revokers, c.o.keys), func() error {
		return c.rotate(ctx, int(next.Add(1)-1)%c.o.keys)
	})
}

func (c *cluster) rotate(ctx context.Context, i int) error {
	c.mu.Lock()
	old := c.good[i]
	c.mu.Unlock()
	var made issued
	if err := c.any().control(ctx, http.MethodPost, "/keys/"+old.id+"/rotate", &made); err != nil {
		return err
	}
	fresh := &key{id: made.ID, token: made.Token}
	c.everywhere(ctx, fresh, ruleFresh)
	c.everywhere(ctx, old, ruleRotate)
	c.mu.Lock()
	c.good[i] = fresh
	c.mu.Unlock()
	for old.under.Load() > 0 { // a client that changes over lets the old secret's requests end
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	by := c.any()
	if err := c.end(ctx, by, old, http.MethodPost, "/keys/"+old.id+"/finish"); err != nil {
		return err
	}
	c.judge.settled(by, old)
	c.everywhere(ctx, fresh, ruleRotate)
	return nil
}

// strict holds the script that ends to the promise that no request failed.
func (c *cluster) strict() {
	c.judge.with(func(f *figures) {
		if f.disturbed > 0 {
			f.violations[ruleRotate] += f.disturbed
		}
	})
}
