package storetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// ear collects notices. A notice that comes before its change can be read is an
// error.
type ear struct {
	e       *env
	mu      sync.Mutex
	notices []storage.Notice
	err     error
}

func (l *ear) hear(n storage.Notice) {
	err := l.check(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notices = append(l.notices, n)
	l.err = errors.Join(l.err, err)
}

func (l *ear) check(n storage.Notice) error {
	got, err := l.e.s.Get(l.e.ctx, n.ID) // this also shows that no lock is held
	switch {
	case n.Deleted:
		if n.Record != nil {
			return broken("a notice of a deletion has no record")
		}
		return want("get from within a notice of deletion", err, apikey.NotFound)
	case err != nil:
		return broken("get from within a notice of revision %d: %w", n.Revision, err)
	case got.Key.Revision < n.Revision:
		return broken("a notice of revision %d came while Get still reads %d", n.Revision, got.Key.Revision)
	case n.Record == nil:
		return nil
	case n.Record.Key.Revision != n.Revision || n.Record.Key.ID != n.ID:
		return broken("a notice of key %q at %d holds the record of %q at %d", n.ID, n.Revision, n.Record.Key.ID, n.Record.Key.Revision)
	case got.Key.Revision == n.Revision:
		return same("the record in a notice is the one after the change", *n.Record, got)
	}
	return nil
}

// take returns what was received since the last call.
func (l *ear) take() ([]storage.Notice, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.notices
	l.notices = nil
	return n, l.err
}

// heard checks that exactly one notice came, about this revision.
func (l *ear) heard(id string, revision uint64, deleted bool) error {
	got, err := l.take()
	if err != nil {
		return err
	}
	if len(got) != 1 || got[0].ID != id || got[0].Revision != revision || got[0].Deleted != deleted {
		return broken("when Apply returns, each subscriber has heard of the change once: key %q, revision %d, deleted %v; heard %+v", id, revision, deleted, got)
	}
	return nil
}

func (l *ear) silence(when string) error {
	got, err := l.take()
	if len(got) > 0 {
		return broken("%s: heard %+v, want nothing", when, got)
	}
	return err
}

var noticeChecks = []check{
	{name: "an announcement is told once, before Announce returns", needs: needsNotices, run: func(e *env) error {
		a, ok := storage.As[storage.Announcer](e.s)
		if !ok {
			return nil
		}
		n, err := ability[storage.Notifier](e)
		if err != nil {
			return err
		}
		var heard []storage.Notice
		defer n.Subscribe(func(n storage.Notice) { heard = append(heard, n) })()
		if err := a.Announce(e.ctx, "plans"); err != nil {
			return broken("announce: %w", err)
		}
		if len(heard) != 1 || heard[0] != (storage.Notice{ID: "plans"}) {
			return broken("when Announce returns, each subscriber has heard the topic once; heard %+v", heard)
		}
		return nil
	}},
	{name: "each change is told once, when it can be read and before Apply returns", needs: needsNotices, run: func(e *env) error {
		n, err := ability[storage.Notifier](e)
		if err != nil {
			return err
		}
		one, two := &ear{e: e}, &ear{e: e}
		defer n.Subscribe(one.hear)()
		defer n.Subscribe(two.hear)()
		heard := func(r storage.Record, deleted bool) error {
			return errors.Join(one.heard(r.Key.ID, r.Key.Revision, deleted), two.heard(r.Key.ID, r.Key.Revision, deleted))
		}
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		if err := heard(r, false); err != nil {
			return err
		}
		for range 3 {
			if r, err = e.apply(r, "update"); err != nil {
				return err
			}
			if err := heard(r, false); err != nil {
				return err
			}
		}
		if r, err = e.revoke(r); err != nil {
			return err
		}
		if err := heard(r, false); err != nil {
			return err
		}
		c := change(r, "purge")
		c.Delete = true
		if r.Key.Revision, err = e.s.Apply(e.ctx, c); err != nil {
			return err
		}
		return heard(r, true)
	}},
	{name: "a notice shares no memory with the one who made the change", needs: needsNotices, run: func(e *env) error {
		n, err := ability[storage.Notifier](e)
		if err != nil {
			return err
		}
		var told *storage.Record
		defer n.Subscribe(func(n storage.Notice) { told = n.Record })()
		given := full("key")
		given.Key.CreatedAt = given.Key.CreatedAt.Local()
		if _, err := e.s.Apply(e.ctx, change(given, "create")); err != nil {
			return err
		}
		if told == nil {
			return nil // the subscriber reads it again
		}
		scribble(given)
		got, err := e.get("key")
		if err != nil {
			return err
		}
		if told.Key.CreatedAt != got.Key.CreatedAt {
			return broken("the record in a notice is as Get returns it: CreatedAt %#v, not %#v", told.Key.CreatedAt, got.Key.CreatedAt)
		}
		if err := same("the record in a notice, after the argument of Apply was scribbled on", *told, got); err != nil {
			return err
		}
		scribble(*told)
		again, err := e.get("key")
		if err != nil {
			return err
		}
		return same("get, after the record in a notice was scribbled on", again, got)
	}},
	{name: "a refused change and mere use are not told", needs: needsNotices, run: func(e *env) error {
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		n, err := ability[storage.Notifier](e)
		if err != nil {
			return err
		}
		l := &ear{e: e}
		defer n.Subscribe(l.hear)()
		if _, err := e.s.Apply(e.ctx, change(plain("key"), "create")); err == nil {
			return broken("a key is created twice")
		}
		r.Key.Revision = 7
		if _, err := e.s.Apply(e.ctx, change(r, "update")); err == nil {
			return broken("a stale change is accepted")
		}
		if err := l.silence("after a refused change"); err != nil {
			return err
		}
		if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{delta("key", 1, 0, 1)}); err != nil {
			return err
		}
		return l.silence("after AddUsage")
	}},
	{name: "after cancel nothing is told, and cancel may be called again", needs: needsNotices, run: func(e *env) error {
		n, err := ability[storage.Notifier](e)
		if err != nil {
			return err
		}
		gone, stays := &ear{e: e}, &ear{e: e}
		cancel := n.Subscribe(gone.hear)
		defer n.Subscribe(stays.hear)()
		cancel()
		cancel()
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		if err := gone.silence("after cancel"); err != nil {
			return err
		}
		if err := stays.heard("key", r.Key.Revision, false); err != nil {
			return err
		}
		// From within a notice: the other subscribers still receive it.
		var self func()
		self = n.Subscribe(func(storage.Notice) { self() })
		late := &ear{e: e}
		defer n.Subscribe(late.hear)()
		if r, err = e.apply(r, "update"); err != nil {
			return err
		}
		return late.heard("key", r.Key.Revision, false)
	}},
	{name: "a subscriber may use the store, even to make a change", needs: needsNotices, run: func(e *env) error {
		n, err := ability[storage.Notifier](e)
		if err != nil {
			return err
		}
		var nested error
		cancel := n.Subscribe(func(n storage.Notice) {
			if n.ID == "first" {
				_, err := e.create("second", nil)
				_, lerr := e.s.List(e.ctx, storage.Query{})
				_, aerr := e.s.Audit(e.ctx, apikey.AuditQuery{})
				nested = errors.Join(err, lerr, aerr)
			}
		})
		defer cancel()
		if _, err := e.create("first", nil); err != nil {
			return err
		}
		if nested != nil {
			return nested
		}
		_, err = e.get("second")
		return err
	}},
	{name: "concurrent changes are told once each, each before its Apply returns", needs: needsNotices, run: func(e *env) error {
		n, err := ability[storage.Notifier](e)
		if err != nil {
			return err
		}
		l := &ear{e: e}
		var heard sync.Map
		defer n.Subscribe(func(n storage.Notice) {
			l.hear(n)
			heard.Store(fmt.Sprint(n.ID, n.Revision), true)
		})()
		var wg sync.WaitGroup
		errs := make([]error, 16)
		for w := range errs {
			wg.Go(func() {
				r, err := e.create(fmt.Sprint("key", w), nil)
				for i := 0; i < 10 && err == nil; i++ {
					if _, ok := heard.Load(fmt.Sprint(r.Key.ID, r.Key.Revision)); !ok {
						err = broken("Apply returned before revision %d of %q was told", r.Key.Revision, r.Key.ID)
						break
					}
					r, err = e.apply(r, "update")
				}
				errs[w] = err
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		all, err := l.take()
		if err != nil {
			return err
		}
		return equal("notices", len(all), 16*11)
	}},
}
