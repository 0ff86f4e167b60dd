//go:build unix

package main

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// limitedKeys is how many limited keys there are at a time.
const limitedKeys = 2

// budget is what became of the requests with a limited key.
type budget struct {
	key *key

	mu       sync.Mutex
	admitted []call
	refused  int
}

// call is when a request was sent and when it was answered: it was admitted
// somewhere in between.
type call struct {
	sent, told time.Duration
	alone      int // 1 + the index of an instance that had lost its servers; 0 if it had not
}

func (b *budget) count(c call, status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch status {
	case http.StatusOK:
		b.admitted = append(b.admitted, c)
	case http.StatusTooManyRequests:
		b.refused++
	}
}

func (b *budget) refusals() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

// most is how many requests were admitted within one window, whenever between
// question and answer they were, among those that were sent after an instant;
// counted is the same without what instances may admit on their own: a share of
// the limit each.
func (b *budget) most(window, after time.Duration) (most, counted int) {
	b.mu.Lock()
	calls := slices.DeleteFunc(slices.Clone(b.admitted), func(c call) bool { return c.sent < after })
	b.mu.Unlock()
	slices.SortFunc(calls, func(a, b call) int { return cmp.Compare(a.sent, b.sent) })
	for i, first := range calls {
		n, alone := 0, [1 + instances]int{}
		for _, c := range calls[i:] {
			if c.sent >= first.sent+window {
				break
			}
			if c.told < first.sent+window {
				n++
				alone[c.alone]++
			}
		}
		most = max(most, n)
		for _, of := range alone[1:] {
			n -= min(of, share)
		}
		counted = max(counted, n)
	}
	return most, counted
}

// limit gives the script that begins limited keys of its own, so that nothing
// that was done before counts.
func (c *cluster) limit(ctx context.Context) error {
	var budgets []*budget
	for range limitedKeys {
		k, err := c.issue(ctx, c.any(), "limited")
		if err != nil {
			return err
		}
		b := &budget{key: k}
		for _, m := range c.members { // from here on every instance has it cached
			if err := c.recovered(ctx, m); err != nil {
				return err
			}
			c.take(ctx, m, b)
		}
		budgets = append(budgets, b)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budgets = budgets
	return nil
}

func (c *cluster) limited() []*budget {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.budgets
}

// flood uses each limited key at twice its rate, on each instance in turn.
func (c *cluster) flood(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	tick := time.NewTicker(limitWindow / (2 * limitN))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for i, b := range c.limited() {
			m := c.members[(n+i)%len(c.members)]
			select {
			case m.slots <- struct{}{}:
				under.Go(func() {
					c.take(ctx, m, b)
					<-m.slots
				})
			default:
				c.judge.unsent.Add(1)
			}
		}
	}
}

// take uses a limited key once.
func (c *cluster) take(ctx context.Context, m *member, b *budget) {
	sent, alone := c.judge.now(), 0
	cut := m.troubled.Load() || int64(sent) < m.calmAt.Load()+int64(longestPause)
	status := c.ask(ctx, m, b.key)
	if cut || m.troubled.Load() {
		alone = 1 + m.index
	}
	b.count(call{sent, c.judge.now(), alone}, status)
}

// longestPause is how long an instance may go on alone after a partition has ended:
// its limiter leaves a server that did not answer for up to three leases alone for
// pauses of 0.1 to 1.6 seconds.
const longestPause = 2 * time.Second

// over is how much more than the limit was admitted in a window of late.
func (c *cluster) over() (over int) {
	for _, b := range c.limited() {
		most, _ := b.most(limitWindow, c.judge.now()-3*limitWindow)
		over = max(over, most-limitN)
	}
	return over
}

// settleLimits holds the script that ends to the limit, and to what more is
// allowed: for the instances that it cut off, as many as a window saw, or for a
// crash of the database.
func (c *cluster) settleLimits(more int) {
	for _, b := range c.limited() {
		most, counted := b.most(limitWindow, 0)
		c.judge.with(func(f *figures) { f.most, f.limited = max(f.most, most), f.limited+b.refusals() })
		switch {
		case more == shares && counted > limitN:
			c.judge.violation(ruleOver, "%d in %v, and what instances may admit alone, want at most %d", counted, limitWindow, limitN)
		case more != shares && most > limitN+more:
			c.judge.violation(ruleOver, "%d in %v, want at most %d", most, limitWindow, limitN+more)
		}
	}
}
