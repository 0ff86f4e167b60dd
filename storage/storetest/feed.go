package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var feedChecks = []check{
	{name: "each change adds one to the feed: its key, its revision, and whether it was deleted", needs: needsFeed, run: func(e *env) error {
		var want []storage.FeedChange
		expect := func(r storage.Record, deleted bool) error {
			want = append(want, storage.FeedChange{
				Position: uint64(len(want)) + 1,
				Notice:   storage.Notice{ID: r.Key.ID, Revision: r.Key.Revision, Deleted: deleted},
			})
			return e.feedIs(want)
		}
		if err := e.feedIs(nil); err != nil {
			return err
		}
		for _, id := range []string{"key", "another", "k'e\"y"} {
			r, err := e.create(id, nil)
			if err := errors.Join(err, expect(r, false)); err != nil {
				return err
			}
			r, err = e.apply(r, "update")
			if err := errors.Join(err, expect(r, false)); err != nil {
				return err
			}
			if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{delta(id, 1, 0, 1)}); err != nil {
				return err
			}
			r, err = e.revoke(r)
			if err := errors.Join(err, expect(r, false)); err != nil {
				return err
			}
			c := change(r, "purge")
			c.Delete = true
			r.Key.Revision, err = e.s.Apply(e.ctx, c)
			if err := errors.Join(err, expect(r, true)); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "a refused change adds nothing to the feed, and leaves no gap", needs: needsFeed, run: func(e *env) error {
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		if r, err = e.revoke(r); err != nil {
			return err
		}
		active, err := e.create("active", nil)
		if err != nil {
			return err
		}
		for what, edit := range map[string]func(c *storage.Change){
			"a key created twice":          func(c *storage.Change) { *c = change(plain("active"), "create") },
			"a stale revision":             func(c *storage.Change) { *c = change(active, "update"); c.Expect = 7 },
			"a revocation taken back":      func(c *storage.Change) { c.Record.Key.RevokedAt = time.Time{} },
			"a key that does not exist":    func(c *storage.Change) { c.Record.Key.ID, c.Entry.KeyID = "nobody", "nobody" },
			"an active key purged":         func(c *storage.Change) { *c = change(active, "purge"); c.Delete = true },
			"an entry about another key":   func(c *storage.Change) { c.Entry.KeyID = "other" },
			"a secret that has no digest":  func(c *storage.Change) { c.Record.Digests = nil },
			"a stale purge of a gone past": func(c *storage.Change) { c.Delete, c.Expect = true, 1 },
		} {
			c := change(r.Clone(), "update")
			edit(&c)
			if _, err := e.s.Apply(e.ctx, c); err == nil {
				return broken("%s is accepted", what)
			}
			if p, err := e.poll(storage.FeedQuery{}); err != nil || p.Head != 3 || len(p.Changes) != 3 {
				return broken("after a refused change (%s) the feed has head %d and %d changes, %w; want 3", what, p.Head, len(p.Changes), err)
			}
		}
		if active, err = e.apply(active, "update"); err != nil {
			return err
		}
		p, err := e.poll(storage.FeedQuery{After: 3})
		if err != nil {
			return err
		}
		return equal("the next change takes the next position", p.Changes, []storage.FeedChange{
			{Position: 4, Notice: storage.Notice{ID: "active", Revision: active.Key.Revision}},
		})
	}},
	{name: "an announcement takes the next position of the feed, and is no change of a key", needs: needsFeed, run: func(e *env) error {
		a, err := ability[storage.Announcer](e)
		if err != nil {
			return err
		}
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		if err := a.Announce(e.ctx, "plans"); err != nil {
			return broken("announce: %w", err)
		}
		cancelled, cancel := context.WithCancel(e.ctx)
		cancel()
		if err := a.Announce(cancelled, "plans"); err == nil {
			return broken("an announcement whose context has ended is an error")
		}
		if r, err = e.apply(r, "update"); err != nil {
			return err
		}
		err = e.feedIs([]storage.FeedChange{
			{Position: 1, Notice: storage.Notice{ID: "key", Revision: 1}},
			{Position: 2, Notice: storage.Notice{ID: "plans"}},
			{Position: 3, Notice: storage.Notice{ID: "key", Revision: r.Key.Revision}},
		})
		if err != nil {
			return err
		}
		if _, err := e.s.Get(e.ctx, "plans"); !errors.Is(err, apikey.NotFound) {
			return broken("an announcement makes no key: %w", err)
		}
		trail, err := e.s.Audit(e.ctx, apikey.AuditQuery{})
		if err != nil || len(trail) != 2 {
			return broken("the audit trail has %d entries after two changes and an announcement, %w; want 2", len(trail), err)
		}
		return nil
	}},
	{name: "a reader that polls while others write misses nothing, and reads each key as new as the feed says", needs: needsFeed, run: func(e *env) error {
		const writers, changes = 8, 12
		var (
			wg   sync.WaitGroup
			errs = make([]error, writers+1)
			last uint64
			seen = map[string]uint64{} // the newest revision of each key
		)
		read := func() error {
			p, err := e.poll(storage.FeedQuery{After: last, Limit: 7})
			if err != nil {
				return err
			}
			if n := uint64(len(p.Changes)); last+n < p.Head && n < 7 {
				return broken("who reads the head, %d, reads everything up to it; a poll after %d had %d changes", p.Head, last, n)
			}
			for _, c := range p.Changes {
				if c.Position != last+1 || c.Position > p.Head {
					return broken("positions have no gaps and end at the head, %d; after %d came %d", p.Head, last, c.Position)
				}
				last = c.Position
				if c.Revision != seen[c.ID]+1 {
					return broken("the changes of a key are in their order; key %q at revision %d came after %d", c.ID, c.Revision, seen[c.ID])
				}
				seen[c.ID] = c.Revision
				got, err := e.get(c.ID)
				if err != nil {
					return err
				}
				if got.Key.Revision < c.Revision {
					return broken("the feed told of revision %d of key %q while Get still read %d", c.Revision, c.ID, got.Key.Revision)
				}
			}
			return nil
		}
		for w := range writers {
			wg.Go(func() {
				r, err := e.create(fmt.Sprint("key-", w), nil)
				for i := 1; i < changes && err == nil; i++ {
					r, err = e.apply(r, "update")
				}
				errs[w] = err
			})
		}
		written := make(chan struct{})
		go func() { wg.Wait(); close(written) }()
		for writing := true; writing && errs[writers] == nil; {
			select {
			case <-written:
				writing = false
			default:
			}
			errs[writers] = read()
		}
		<-written
		for range writers * changes { // the remaining ones
			errs[writers] = errors.Join(errs[writers], read())
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		return equal("changes read", last, writers*changes)
	}},
	{name: "a change is in the feed when Apply returns", needs: needsFeed, run: func(e *env) error {
		const writers = 8
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for w := range writers {
			wg.Go(func() {
				id := fmt.Sprint("key-", w)
				if _, errs[w] = e.create(id, nil); errs[w] != nil {
					return
				}
				p, err := e.poll(storage.FeedQuery{Limit: 1000})
				if err != nil {
					errs[w] = err
					return
				}
				for _, c := range p.Changes {
					if c.ID == id {
						return
					}
				}
				errs[w] = broken("key %q was created, and a poll after that does not have it: head %d", id, p.Head)
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}},
	{name: "the feed is read from any position, in pages: 100 by default, 1000 at most", needs: needsFeed, run: func(e *env) error {
		const n = 1003
		r, err := e.create("key", nil)
		for i := 1; i < n && err == nil; i++ {
			r, err = e.apply(r, "update")
		}
		if err != nil {
			return err
		}
		for _, q := range []struct {
			after       uint64
			limit, want int
		}{
			{0, 0, 100}, {0, -1, 100}, {0, 1, 1}, {5, 7, 7}, {0, 1000, 1000}, {0, math.MaxInt, 1000}, {n - 2, 10, 2}, {n, 10, 0}, {n + 1, 10, 0}, {1 << 63, 10, 0},
		} {
			p, err := e.poll(storage.FeedQuery{After: q.after, Limit: q.limit})
			if err != nil {
				return err
			}
			what := fmt.Sprintf("a poll after %d with limit %d", q.after, q.limit)
			if err := errors.Join(
				equal(what+": changes", len(p.Changes), q.want),
				equal(what+": head", p.Head, n),
				equal(what+": truncated", p.Truncated, false),
			); err != nil {
				return err
			}
			for i, c := range p.Changes {
				if c.Position != q.after+uint64(i)+1 || c.Revision != c.Position {
					return broken("%s: change %d is at position %d", what, i, c.Position)
				}
			}
		}
		return nil
	}},
	{name: "the feed goes on after a restart, with the same epoch", needs: needs(needsFeed, needsReopen), run: func(e *env) error {
		first, err := e.poll(storage.FeedQuery{})
		if err != nil {
			return err
		}
		if first.Epoch == "" {
			return broken("a feed has an epoch, from before its first change")
		}
		for round := range uint64(3) {
			if _, err := e.create(fmt.Sprint("key-", round), nil); err != nil {
				return err
			}
			e.reopen()
			p, err := e.poll(storage.FeedQuery{After: round})
			if err != nil {
				return err
			}
			if p.Epoch != first.Epoch || p.Head != round+1 || len(p.Changes) != 1 || p.Changes[0].Position != round+1 {
				return broken("after restart %d, want epoch %q and change %d; got %+v", round+1, first.Epoch, round+1, p)
			}
		}
		return nil
	}},
	{name: "two handles on the same data have one feed", needs: needs(needsFeed, needsSecond), run: func(e *env) error {
		two := *e
		two.s = e.h.Second(e.t, e.s)
		if _, err := e.create("one", nil); err != nil {
			return err
		}
		if _, err := two.create("two", nil); err != nil {
			return err
		}
		p, err := e.poll(storage.FeedQuery{})
		if err != nil {
			return err
		}
		q, err := two.poll(storage.FeedQuery{})
		if err != nil {
			return err
		}
		if len(p.Changes) != 2 || p.Changes[0].ID != "one" || p.Changes[1].ID != "two" {
			return broken("a change of either handle is in the feed: got %+v", p)
		}
		return equal("the feed, read by the other handle", q, p)
	}},
}

func (e *env) poll(q storage.FeedQuery) (storage.FeedPage, error) {
	f, err := ability[storage.Feed](e)
	if err != nil {
		return storage.FeedPage{}, err
	}
	if q.Instance != "" && q.Epoch == "" { // as if it had polled before
		p, err := f.Poll(e.ctx, storage.FeedQuery{})
		if err != nil {
			return p, broken("poll: %w", err)
		}
		q.Epoch = p.Epoch
	}
	p, err := f.Poll(e.ctx, q)
	if err != nil {
		return p, broken("poll %+v: %w", q, err)
	}
	for i := range p.Changes { // depends on when the page was read
		if age := p.Changes[i].Age; age < 0 || age > time.Hour {
			return p, broken("a change of this test was made %v before it was read", age)
		}
		p.Changes[i].Age = 0
	}
	return p, nil
}

// feedIs checks the whole feed.
func (e *env) feedIs(want []storage.FeedChange) error {
	p, err := e.poll(storage.FeedQuery{})
	if err != nil {
		return err
	}
	if p.Head != uint64(len(want)) || len(p.Changes) != len(want) {
		return broken("%d changes make a feed of as many: got head %d and %d changes", len(want), p.Head, len(p.Changes))
	}
	for i := range want {
		if err := equal("change in the feed", p.Changes[i], want[i]); err != nil {
			return err
		}
	}
	return nil
}
