//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// cluster is the whole: the servers, three instances, and who watches them.
type cluster struct {
	o       options
	db      *database
	redis   *redis // nil when the limits are in the database
	members []*member
	judge   *judge
	running sync.WaitGroup
	heading atomic.Bool // the table needs its head again

	mu      sync.Mutex
	good    []*key    // those of the load, in their present secrets
	recent  []*key    // revoked lately, or about to be; the load uses them, too
	budgets []*budget // of the limited keys of the script that plays
}

func start(ctx context.Context, o options) (_ *cluster, err error) {
	c := &cluster{o: o, judge: newJudge(o.lease)}
	if c.db, err = openDatabase(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if o.limits == "redis" {
		if c.redis, err = openRedis(ctx); err != nil {
			return nil, err
		}
	}
	for i, name := range [instances]string{"one", "two", "three"} {
		m, err := startMember(ctx, i, name, c.db, c.redis, o)
		if err != nil {
			return nil, err
		}
		c.members = append(c.members, m)
	}
	for range o.keys {
		k, err := c.issue(ctx, c.members[0], "load")
		if err != nil {
			return nil, err
		}
		c.good = append(c.good, k)
	}
	for _, m := range c.members {
		if err := c.recovered(ctx, m); err != nil {
			return nil, err
		}
		for _, k := range c.good { // from here on every instance has them all
			if status := m.use(ctx, k); status != http.StatusOK {
				return nil, fmt.Errorf("a new key is answered with %d", status)
			}
		}
	}
	return c, nil
}

func (c *cluster) close() {
	for _, m := range c.members {
		m.close()
	}
	if c.redis != nil {
		c.redis.host.end()
	}
	_ = c.db.close()
}

// versions names the servers.
func (c *cluster) versions() string {
	if c.redis == nil {
		return c.db.version
	}
	return c.db.version + ", limits in Redis " + c.redis.version
}

// issue creates a key on an instance.
func (c *cluster) issue(ctx context.Context, m *member, plan string) (*key, error) {
	var made issued
	if err := m.control(ctx, http.MethodPost, "/keys?plan="+plan, &made); err != nil {
		return nil, fmt.Errorf("create on %s: %w", m.name, err)
	}
	return &key{id: made.ID, token: made.Token}, nil
}

// doomed creates a key that is to be revoked, and uses it on every instance.
func (c *cluster) doomed(ctx context.Context) (*key, error) {
	k, err := c.issue(ctx, c.any(), "load")
	if err != nil {
		return nil, err
	}
	for _, m := range c.members {
		status := c.ask(ctx, m, k)
		for tries := 0; status == http.StatusServiceUnavailable && tries < 10; tries++ { // a stall of a disk: undisturbed says how many are allowed
			r, err := m.health(ctx)
			c.judge.note("%s answered a new key with 503; of its lease %v are left, its last poll: %q (%v)", m.name, r.LeaseLeft, r.Error, err)
			if err := c.recovered(ctx, m); err != nil {
				return nil, err
			}
			status = c.ask(ctx, m, k)
		}
		if status != http.StatusOK {
			return nil, fmt.Errorf("a new key is answered with %d by %s", status, m.name)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recent = append(c.recent, k); len(c.recent) > 64 {
		c.recent = c.recent[1:]
	}
	return k, nil
}

func (c *cluster) any() *member { return c.members[rand.IntN(len(c.members))] }

// ask uses a key once, under the eyes of the judge.
func (c *cluster) ask(ctx context.Context, m *member, k *key) int {
	k.under.Add(1)
	defer k.under.Add(-1)
	sent := c.judge.now()
	status := m.use(ctx, k)
	if ctx.Err() != nil {
		return status
	}
	c.judge.observe(m, k, sent, status)
	return status
}

// revoke revokes a key on an instance; see end.
func (c *cluster) revoke(ctx context.Context, by *member, k *key) error {
	return c.end(ctx, by, k, http.MethodDelete, "/keys/"+k.id)
}

// end ends a secret by a call to an instance while all instances are asked with
// it, and returns when each of those has refused it, and once more after the
// call has returned; or when the context ends.
func (c *cluster) end(ctx context.Context, by *member, k *key, method, path string) error {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	returned := make(chan struct{})
	var probes sync.WaitGroup
	for _, m := range c.members {
		probes.Go(func() {
			for n := 0; asking.Err() == nil; n++ {
				refused := c.ask(asking, m, k) == http.StatusUnauthorized
				if refused {
					select {
					case <-returned:
						c.ask(asking, m, k) // it started afterwards for certain
						return
					case <-asking.Done():
						return
					}
				}
				pause := 2 * time.Millisecond
				if n > 50 {
					pause = 10 * time.Millisecond
				}
				time.Sleep(pause)
			}
		})
	}
	k.sent.Store(int64(c.judge.now()))
	err := by.control(ctx, method, path, new(bool))
	if err == nil {
		c.judge.acknowledged(k)
	} else {
		cancel()
	}
	close(returned)
	probes.Wait()
	if err != nil {
		return fmt.Errorf("end a secret on %s: %w", by.name, err)
	}
	return ctx.Err()
}

// recovered waits until an instance vouches for what it answers.
func (c *cluster) recovered(ctx context.Context, m *member) error {
	begun := time.Now()
	for {
		r, err := m.health(ctx)
		if err == nil && r.Ready {
			return nil
		}
		if time.Since(begun) > 30*time.Second {
			return fmt.Errorf("%s has not recovered after half a minute: %v %v", m.name, r.Error, err)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// trouble tells the judge that something is being done to an instance; the
// function that it returns, that it has been overcome.
func (c *cluster) trouble(m *member) (over func()) {
	m.troubled.Store(true)
	return func() {
		m.calmAt.Store(int64(c.judge.now()))
		m.troubled.Store(false)
	}
}

// load sends requests with good keys, and with some that are or will be revoked,
// to all instances, at a constant rate, however long they take.
func (c *cluster) load(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for sent := 0; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		due := int(c.judge.now().Seconds() * float64(c.o.rate))
		sent = max(sent, due-c.o.rate/10) // what is late by a tenth of a second is given up
		for ; sent < due; sent++ {
			m, k := c.members[sent%len(c.members)], c.pick()
			select {
			case m.slots <- struct{}{}:
				under.Go(func() {
					c.ask(ctx, m, k)
					<-m.slots
				})
			default:
				c.judge.unsent.Add(1)
			}
		}
	}
}

func (c *cluster) pick() *key {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rand.IntN(8) == 0 && len(c.recent) > 0 {
		return c.recent[rand.IntN(len(c.recent))]
	}
	return c.good[rand.IntN(len(c.good))]
}
