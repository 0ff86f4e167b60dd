//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// calm revokes keys while nothing is wrong.
func (c *cluster) calm(ctx, inTime context.Context) error {
	err := c.together(inTime, c.o.revokes, c.o.revokers, func() error {
		by := c.any()
		k, err := c.doomed(ctx)
		if err == nil {
			err = c.revoke(ctx, by, k)
		}
		if err != nil {
			return err
		}
		c.judge.settled(by, k)
		return nil
	})
	if err != nil {
		return err
	}
	c.judge.with(func(f *figures) {
		if p99 := percentile(f.elsewhere, 0.99); c.o.goal > 0 && p99 >= c.o.goal {
			f.violations[ruleGoal]++
		}
	})
	c.undisturbed()
	return nil
}

// undisturbed holds the script that ends to its promise for those who were left
// alone. A disk that stalls is nobody's mistake: one in 200 may fail.
func (c *cluster) undisturbed() {
	c.judge.with(func(f *figures) {
		if f.disturbed*200 > f.good {
			f.violations[ruleCalm]++
		}
	})
}

// rounds plays a round as often as it is asked for and the time allows.
func (c *cluster) rounds(inTime context.Context, round func() error) error {
	defer c.undisturbed()
	for range c.o.rounds {
		if inTime.Err() != nil {
			break
		}
		if err := round(); err != nil {
			return err
		}
		c.judge.with(func(f *figures) { f.rounds++ })
	}
	return nil
}

// two picks an instance to do harm to, and another to revoke on.
func (c *cluster) two() (victim, by *member) {
	order := rand.Perm(len(c.members))
	return c.members[order[0]], c.members[order[1]]
}

// partitions cuts an instance off from the database around a revocation.
func (c *cluster) partitions(ctx, inTime context.Context) error {
	return c.rounds(inTime, func() error {
		victim, by := c.two()
		k, err := c.doomed(ctx)
		if err != nil {
			return err
		}
		over := c.trouble(victim)
		// It begins from 0.8 leases before the revocation to 0.2 after, and
		// ends up to two leases later.
		before := c.fraction(0, 0.8)
		after, length := c.fraction(0, 0.2), c.fraction(0.1, 2)
		var wire sync.WaitGroup
		cut := func() {
			victim.cutAt.Store(int64(c.judge.now()))
			victim.cut(rand.IntN(2) == 0)
		}
		if rand.IntN(5) == 0 {
			before = 0
		} else {
			after = 0
			cut()
		}
		time.Sleep(before)
		wire.Go(func() {
			if before == 0 {
				time.Sleep(after)
				cut()
			}
			time.Sleep(length)
			victim.cutAt.Store(0)
			victim.heal()
		})
		err = c.revoke(ctx, by, k)
		wire.Wait()
		if err == nil {
			err = c.recovered(ctx, victim)
		}
		over()
		return err
	})
}

func (c *cluster) fraction(from, to float64) time.Duration {
	return time.Duration((from + (to-from)*rand.Float64()) * float64(c.o.lease))
}

// stops makes an instance stand still while a key is revoked.
func (c *cluster) stops(ctx, inTime context.Context) error {
	return c.rounds(inTime, func() error {
		victim, by := c.two()
		k, err := c.doomed(ctx)
		if err != nil {
			return err
		}
		over := c.trouble(victim)
		time.Sleep(c.fraction(0, 0.3))
		if err := victim.process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		time.Sleep(slack)
		still, resumed := c.judge.now(), make(chan struct{})
		go func() {
			time.Sleep(3 * c.o.lease)
			_ = victim.process.Signal(syscall.SIGCONT)
			close(resumed)
		}()
		// These wait in the socket of the instance until it goes on. Each is
		// decided afterwards, whenever it was sent.
		var waiting sync.WaitGroup
		for range 20 {
			waiting.Go(func() {
				if status := c.ask(ctx, victim, k); status == http.StatusOK {
					c.judge.violation(ruleResumed, "by %s, sent %v after it stood still", victim.name, c.judge.now()-still)
				}
			})
		}
		err = c.revoke(ctx, by, k)
		<-resumed
		waiting.Wait()
		for range 20 {
			if status := c.ask(ctx, victim, k); status == http.StatusOK {
				c.judge.violation(ruleResumed, "by %s", victim.name)
			}
		}
		if err == nil {
			err = c.recovered(ctx, victim)
		}
		over()
		return err
	})
}
