package storetest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

func TestAnUnbrokenFeedPasses(t *testing.T) {
	for _, c := range checks() {
		if c.needs == nil || c.skip(memory()) == "" || c.skip(shared()) != "" {
			continue // it is not about feeds, or needs what memory cannot do
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.against(t, shared()); err != nil {
				t.Error(err)
			}
		})
	}
}

const (
	ruleOne       = "each change adds one to the feed: its key, its revision, and whether it was deleted"
	ruleRefused   = "a refused change adds nothing to the feed, and leaves no gap"
	ruleAnnounce  = "an announcement takes the next position of the feed, and is no change of a key"
	ruleReader    = "a reader that polls while others write misses nothing, and reads each key as new as the feed says"
	ruleReturns   = "a change is in the feed when Apply returns"
	rulePages     = "the feed is read from any position, in pages: 100 by default, 1000 at most"
	ruleRestart   = "the feed goes on after a restart, with the same epoch"
	ruleHandles   = "two handles on the same data have one feed"
	ruleAwait     = "Await returns when there is something new, or says that it cannot tell"
	ruleCancelled = "a poll or a wait that was cancelled is an error, and registers nobody"
	ruleClosed    = "Close ends a wait, and after it the feed is Closed"
	ruleLeast     = "what is acknowledged is the least that an instance alive has applied"
	ruleEpoch     = "what is acknowledged in another epoch counts for nothing"
	ruleLease     = "an instance whose lease has run out does not count, until it polls again"
	ruleOthers    = "an instance that another handle has registered counts"
	ruleUnknown   = "nobody who reads an old head is unknown to one who polls after a change"
)

// brokenFeeds has at least one store for each check of feeds, by what it does wrong.
var brokenFeeds = map[string]brokenStore{
	"claims a feed": {
		fails: "a store has the abilities that it declares, and no others",
		wrap:  plainly, harness: func(h *Harness) { h.Feeds = true },
	},
	"feeds no purges": telling(ruleOne, func(_ *feeder, _ storage.FeedQuery, p *storage.FeedPage) {
		for i := range p.Changes {
			p.Changes[i].Deleted = false
		}
	}),
	"feeds changes before they were made": telling(ruleOne, func(_ *feeder, _ storage.FeedQuery, p *storage.FeedPage) {
		for i := range p.Changes {
			p.Changes[i].Age = -time.Second
		}
	}),
	"feeds the revision before": telling(ruleOne, func(_ *feeder, _ storage.FeedQuery, p *storage.FeedPage) {
		for i := range p.Changes {
			p.Changes[i].Revision--
		}
	}),
	"counts positions from 0": telling(ruleOne, func(_ *feeder, _ storage.FeedQuery, p *storage.FeedPage) {
		for i := range p.Changes {
			p.Changes[i].Position--
		}
	}),
	"feeds usage": feeding(ruleOne, func(f *feeder) {
		f.add = func(ctx context.Context, b []storage.UsageDelta) error {
			f.data.mu.Lock()
			defer f.data.mu.Unlock()
			f.data.add(storage.Notice{ID: b[0].KeyID})
			return f.data.mem.AddUsage(ctx, b)
		}
	}),
	"announces nothing": feeding(ruleAnnounce, func(f *feeder) {
		f.announce = func(context.Context, string) error { return nil }
	}),
	"announces by making a key": feeding(ruleAnnounce, func(f *feeder) {
		f.announce = func(ctx context.Context, topic string) error {
			_, err := f.data.apply(ctx, change(plain(topic), "create"))
			return err
		}
	}),
	"feeds refused changes": feeding(ruleRefused, func(f *feeder) {
		f.wrap.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			f.data.mu.Lock()
			defer f.data.mu.Unlock()
			rev, err := f.data.mem.Apply(ctx, c)
			f.data.add(storage.Notice{ID: c.Record.Key.ID, Revision: rev})
			return rev, err
		}
	}),
	"takes positions from a sequence": feeding(ruleRefused, func(f *feeder) {
		f.wrap.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			rev, err := f.data.apply(ctx, c)
			if err != nil { // the number is gone
				f.data.mu.Lock()
				defer f.data.mu.Unlock()
				f.data.changes = append(f.data.changes, storage.FeedChange{})
			}
			return rev, err
		}
	}),
	"feeds before it commits": feeding(ruleReader, func(f *feeder) {
		f.wrap.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			f.data.mu.Lock()
			f.data.add(storage.Notice{ID: c.Record.Key.ID, Revision: c.Expect + 1})
			f.data.mu.Unlock()
			time.Sleep(time.Millisecond) // the commit takes its time
			return f.data.mem.Apply(ctx, c)
		}
	}),
	"shows positions as they are taken, not as they are committed": feeding(ruleReader, func(f *feeder) {
		f.wrap.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			f.data.mu.Lock()
			rev, err := f.data.mem.Apply(ctx, c)
			f.data.changes = append(f.data.changes, storage.FeedChange{}) // not visible yet
			n := len(f.data.changes)
			f.data.mu.Unlock()
			runtime.Gosched()
			time.Sleep(time.Duration(rev%3) * time.Millisecond)
			f.data.mu.Lock()
			defer f.data.mu.Unlock()
			f.data.changes[n-1] = storage.FeedChange{Position: uint64(n), Notice: storage.Notice{ID: c.Record.Key.ID, Revision: rev}}
			return rev, err
		}
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			p, err := f.read(ctx, q)
			var visible []storage.FeedChange
			for _, c := range p.Changes {
				if c.Position > 0 {
					visible = append(visible, c)
				}
			}
			p.Changes = visible
			return p, err
		}
	}),
	"feeds late": feeding(ruleReturns, func(f *feeder) {
		f.wrap.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			rev, err := f.data.mem.Apply(ctx, c)
			time.AfterFunc(time.Second, func() {
				f.data.mu.Lock()
				defer f.data.mu.Unlock()
				f.data.add(storage.Notice{ID: c.Record.Key.ID, Revision: rev})
			})
			return rev, err
		}
	}),
	"pages with After included": telling(rulePages, func(f *feeder, q storage.FeedQuery, p *storage.FeedPage) {
		if q.After > 0 && q.After <= p.Head {
			p.Changes = append(f.data.changes[q.After-1:q.After:q.After], p.Changes...)
		}
	}),
	"has no limit": feeding(rulePages, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			p, err := f.read(ctx, q)
			p.Changes = f.data.changes[min(q.After, p.Head):]
			return p, err
		}
	}),
	"calls every page truncated": telling(rulePages, func(_ *feeder, q storage.FeedQuery, p *storage.FeedPage) { p.Truncated = q.After > 0 }),
	"makes an epoch for each handle": feeding(ruleRestart, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			p, err := f.read(ctx, q)
			p.Epoch = fmt.Sprintf("%p", f)
			return p, err
		}
	}),
	"has no epoch": telling(ruleRestart, func(_ *feeder, _ storage.FeedQuery, p *storage.FeedPage) { p.Epoch = "" }),
	"feeds its own changes only": feeding(ruleHandles, func(f *feeder) {
		var mine sync.Map
		f.wrap.apply = func(ctx context.Context, c storage.Change) (uint64, error) {
			mine.Store(c.Record.Key.ID, true)
			return f.data.apply(ctx, c)
		}
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			p, err := f.read(ctx, q)
			var own []storage.FeedChange
			for _, c := range p.Changes {
				if _, ok := mine.Load(c.ID); ok {
					own = append(own, c)
				}
			}
			p.Changes = own
			return p, err
		}
	}),
	"wakes once": feeding(ruleAwait, func(f *feeder) {
		var once sync.Once
		f.await = func(ctx context.Context) (err error) {
			err = fmt.Errorf("the connection is lost: %w", errBroken)
			once.Do(func() { err = nil })
			return err
		}
	}),
	"registers those who cancelled": feeding(ruleCancelled, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			p, err := f.read(context.WithoutCancel(ctx), q)
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return p, err
		}
	}),
	"feeds on when closed": feeding(ruleClosed, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			return newFeeder(f.data).read(ctx, q)
		}
	}),
	"waits on when closed": feeding(ruleClosed, func(f *feeder) {
		f.await = func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			return newFeeder(f.data).Await(ctx)
		}
	}),
	"acknowledges for the one who polls": telling(ruleLeast, func(_ *feeder, q storage.FeedQuery, p *storage.FeedPage) {
		if q.Instance != "" {
			p.Acked = q.Acked
		}
	}),
	"keeps what was acknowledged once": feeding(ruleLeast, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			f.data.mu.Lock()
			q.Acked = max(q.Acked, f.data.instances[q.Instance].acked)
			f.data.mu.Unlock()
			return f.read(ctx, q)
		}
	}),
	"believes what was acknowledged elsewhere": feeding(ruleEpoch, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			q.Epoch = f.data.epoch()
			return f.read(ctx, q)
		}
	}),
	"folds the names of instances": feeding(ruleLeast, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			q.Instance = strings.ToLower(q.Instance)
			return f.read(ctx, q)
		}
	}),
	"registers the nameless": feeding(ruleLeast, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			if q.Instance == "" {
				q.Instance = "nobody"
			}
			return f.read(ctx, q)
		}
	}),
	"forgets who is alive": feeding(ruleLease, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			q.Lease = min(q.Lease, time.Nanosecond)
			return f.read(ctx, q)
		}
	}),
	"knows its own instances only": feeding(ruleOthers, func(f *feeder) {
		mine := newFeeder(newFeedData(memstore.New()))
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			p, err := f.read(ctx, q)
			own, _ := mine.read(ctx, q)
			p.Acked, p.Alive = q.Acked, own.Alive
			return p, err
		}
	}),
	"registers after it has read": feeding(ruleUnknown, func(f *feeder) {
		f.poll = func(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
			p, err := f.read(ctx, storage.FeedQuery{After: q.After, Limit: q.Limit})
			if q.Instance == "" {
				return p, err
			}
			runtime.Gosched()
			time.Sleep(time.Millisecond)
			_, _ = f.read(ctx, q)
			return p, err
		}
	}),
}
