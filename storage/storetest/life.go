package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// calls makes each call of the interface once and returns their errors by name.
func (e *env) calls(ctx context.Context) map[string]error {
	errs := map[string]error{}
	r := plain("fresh")
	_, errs["Get"] = e.s.Get(ctx, "key")
	_, errs["Apply"] = e.s.Apply(ctx, change(r, "create"))
	_, errs["List"] = e.s.List(ctx, storage.Query{})
	_, errs["Audit"] = e.s.Audit(ctx, apikey.AuditQuery{})
	errs["AddUsage"] = e.s.AddUsage(ctx, []storage.UsageDelta{delta("key", 1, 0, 1)})
	_, errs["Usage"] = e.s.Usage(ctx, "key", time.Time{})
	_, errs["Activity"] = e.s.Activity(ctx, []string{"key"}, time.Time{})
	return errs
}

var lifeChecks = []check{
	{name: "a cancelled context is an error and changes nothing", run: func(e *env) error {
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		cancelled, cancel := context.WithCancel(e.ctx)
		cancel()
		expired, cancel := context.WithDeadline(e.ctx, time.Unix(0, 0))
		defer cancel()
		for _, c := range []struct {
			ctx context.Context
			err error
		}{{cancelled, context.Canceled}, {expired, context.DeadlineExceeded}} {
			for name, err := range e.calls(c.ctx) {
				if err := want(name, err, c.err); err != nil {
					return err
				}
			}
		}
		_, err = e.s.Get(e.ctx, "fresh")
		if err := want("get of a key whose creation was cancelled", err, apikey.NotFound); err != nil {
			return err
		}
		got, err := e.get("key")
		if err != nil {
			return err
		}
		if err := same("get", got, r); err != nil {
			return err
		}
		trail, err := e.s.Audit(e.ctx, apikey.AuditQuery{})
		if err != nil {
			return err
		}
		if err := equal("audit trail", actions(trail), []string{"create"}); err != nil {
			return err
		}
		return e.hasNoUsage("key")
	}},
	{name: "use after Close is Closed", needs: needsClose, run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		c, err := ability[io.Closer](e)
		if err != nil {
			return err
		}
		for range 2 {
			if err := c.Close(); err != nil {
				return broken("close: %w", err)
			}
			for name, err := range e.calls(e.ctx) {
				if err := want(name, err, apikey.Closed); err != nil {
					return err
				}
			}
		}
		return nil
	}},
	{name: "Close may come while calls run: each succeeds or is Closed", needs: needsClose, run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		c, err := ability[io.Closer](e)
		if err != nil {
			return err
		}
		const workers = 8
		var (
			wg     sync.WaitGroup
			closed atomic.Bool
			errs   = make([]error, workers+1)
			begun  = make(chan struct{}, workers)
		)
		for w := range workers {
			wg.Go(func() {
				defer func() {
					if p := recover(); p != nil {
						errs[w] = broken("panic: %v", p)
					}
				}()
				for i, last := 0, false; !last; i++ {
					last = closed.Load()
					r := plain(fmt.Sprintf("key-%d-%d", w, i))
					_, aerr := e.s.Apply(e.ctx, change(r, "create"))
					_, gerr := e.s.Get(e.ctx, "key")
					_, lerr := e.s.List(e.ctx, storage.Query{})
					uerr := e.s.AddUsage(e.ctx, []storage.UsageDelta{delta("key", 1, 0, 1)})
					if i == 0 {
						begun <- struct{}{}
					}
					for _, err := range []error{aerr, gerr, lerr, uerr} {
						if (err != nil || last) && !errors.Is(err, apikey.Closed) {
							errs[w] = broken("error %v, closed %v", err, last)
						}
					}
				}
			})
		}
		for range workers {
			<-begun
		}
		errs[workers] = c.Close()
		closed.Store(true)
		wg.Wait()
		return errors.Join(errs...)
	}},
	{name: "everything at once", run: func(e *env) error {
		const workers, rounds = 8, 15
		var wg sync.WaitGroup
		errs := make([]error, workers)
		for w := range workers {
			wg.Go(func() {
				for i := 0; i < rounds && errs[w] == nil; i++ {
					errs[w] = e.life(fmt.Sprintf("key-%d-%d", w, i), w, i)
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		list, err := e.list(storage.Query{Limit: 1000})
		if err != nil {
			return err
		}
		if err := equal("keys that are left", len(list), workers*rounds-workers*rounds/3); err != nil {
			return err
		}
		trail, err := e.s.Audit(e.ctx, apikey.AuditQuery{Limit: 1000})
		if err != nil {
			return err
		}
		if err := equal("audit entries", len(trail), workers*rounds*3+workers*rounds/3); err != nil {
			return err
		}
		return falling(trail)
	}},
}

// life runs one key from creation to revocation; every third key is purged.
func (e *env) life(id string, worker, i int) error {
	r, err := e.create(id, func(k *apikey.Key) { k.Owner = fmt.Sprint("owner", worker) })
	if err != nil {
		return err
	}
	if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{delta(id, 1, 0, 1), delta(fmt.Sprintf("key-%d-%d", worker^1, i), 1, 0, 1)}); err != nil {
		return err
	}
	r.Key.Metadata = map[string]string{"worker": fmt.Sprint(worker)}
	if r, err = e.apply(r, "update"); err != nil {
		return err
	}
	got, err := e.get(id)
	if err != nil {
		return err
	}
	if err := same("one's own write is read", got, r); err != nil {
		return err
	}
	list, err := e.list(storage.Query{Owner: r.Key.Owner, Limit: 1})
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.Key.Owner != r.Key.Owner {
			return broken("list of owner %q holds a key of %q", r.Key.Owner, l.Key.Owner)
		}
	}
	u, err := e.s.Usage(e.ctx, id, time.Time{})
	if err != nil {
		return err
	}
	if n := u.Of(1).Counts.Allowed; n < 1 || n > 2 {
		return broken("usage of %q: %d, want one's own and at most the neighbour's", id, n)
	}
	if r, err = e.revoke(r); err != nil {
		return err
	}
	if i%3 > 0 {
		return nil
	}
	c := change(r, "purge")
	c.Delete = true
	_, err = e.s.Apply(e.ctx, c)
	return err
}
