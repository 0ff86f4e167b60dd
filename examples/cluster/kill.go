//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// kills kills the database under load and starts it again.
func (c *cluster) kills(ctx, inTime context.Context) error {
	if c.db.server == nil {
		return errors.New("the server of LATCHKEY_TEST_PG_DSN is not ours: unset it")
	}
	return c.rounds(inTime, func() error {
		var over []func()
		for _, m := range c.members {
			over = append(over, c.trouble(m))
		}
		acked, err := c.interrupted(ctx)
		if err != nil {
			return err
		}
		for _, f := range over {
			f()
		}
		return c.remembered(ctx, acked)
	})
}

// interrupted revokes keys until the database is killed and is there again, and
// returns those whose revocation was acknowledged.
func (c *cluster) interrupted(ctx context.Context) (acked []*key, err error) {
	revoking, stop := context.WithCancel(ctx)
	defer stop()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
	)
	for range max(2, c.o.revokers) {
		group.Go(func() {
			for revoking.Err() == nil {
				k, err := c.doomed(revoking)
				if err != nil {
					return // the database is gone
				}
				err = c.revoke(revoking, c.any(), k)
				if k.acked.Load() != 0 {
					mu.Lock()
					acked = append(acked, k)
					mu.Unlock()
				}
				if err != nil {
					return
				}
			}
		})
	}
	time.Sleep(500*time.Millisecond + c.fraction(0, 0.5))
	if err := c.db.kill(); err != nil {
		return nil, err
	}
	killed := c.judge.now()
	time.Sleep(c.fraction(0, 1.5))
	stop()
	group.Wait()
	before, err := c.reports(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.db.start(); err != nil {
		return nil, err
	}
	back := c.judge.now()
	for _, m := range c.members {
		if err := c.recovered(ctx, m); err != nil {
			return nil, err
		}
	}
	ready := c.judge.now()
	time.Sleep(300 * time.Millisecond) // a herd would come now
	after, err := c.reports(ctx)
	if err != nil {
		return nil, err
	}
	c.herd(before, after, c.judge.now()-killed)
	c.judge.note("away for %.1f s, ready %d ms after it was back", (back - killed).Seconds(), (ready - back).Milliseconds())
	return acked, nil
}

func (c *cluster) reports(ctx context.Context) ([]report, error) {
	var all []report
	for _, m := range c.members {
		r, err := m.health(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s does not tell its health: %w", m.name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// herd judges what the instances asked of a database that was back. A key that
// was being revoked has to be read again, a cached one has not.
func (c *cluster) herd(before, after []report, over time.Duration) {
	var reads, polls int64
	for i := range after {
		reads, polls = max(reads, after[i].Reads-before[i].Reads), max(polls, after[i].Polls-before[i].Polls)
	}
	c.judge.note("at most %d reads and %d polls of an instance to recover, %d keys cached", reads, polls, len(c.good))
	if reads > 20 {
		c.judge.violation(ruleHerd, "%d reads of one instance for %d keys", reads, len(c.good))
	}
	if most := int64(over.Seconds()*25) + 20; polls > most {
		c.judge.violation(ruleHerd, "%d polls of one instance in %v", polls, over)
	}
}

// remembered asks for every acknowledged revocation: the database, and every
// instance.
func (c *cluster) remembered(ctx context.Context, acked []*key) error {
	c.judge.note("%d acknowledged revocations asked for", len(acked))
	for i, k := range acked {
		var revoked bool
		if err := c.members[i%len(c.members)].control(ctx, http.MethodGet, "/keys/"+k.id, &revoked); err != nil {
			return err
		}
		if !revoked {
			c.judge.violation(ruleLost, "the database says that it is not revoked")
		}
		for _, m := range c.members {
			if status := c.ask(ctx, m, k); status != http.StatusUnauthorized {
				c.judge.violation(ruleLost, "%s answers %d", m.name, status)
			}
		}
	}
	return nil
}
