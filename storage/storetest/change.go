package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var changeChecks = []check{
	{name: "a key that does not exist is NotFound", run: func(e *env) error {
		_, err := e.s.Get(e.ctx, "nobody")
		if err := want("get", err, apikey.NotFound); err != nil {
			return err
		}
		if _, err = e.s.Get(e.ctx, ""); err == nil {
			return broken("get of an empty ID succeeds")
		}
		r := plain("nobody")
		r.Key.Revision = 1
		_, err = e.s.Apply(e.ctx, change(r, "update"))
		if err := want("update", err, apikey.NotFound); err != nil {
			return err
		}
		c := change(r, "purge")
		c.Delete = true
		_, err = e.s.Apply(e.ctx, c)
		return want("purge", err, apikey.NotFound)
	}},
	{name: "a key is created once", run: func(e *env) error {
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		again := plain("key")
		again.Key.Name = "another"
		_, err = e.s.Apply(e.ctx, change(again, "create"))
		if err := want("create again", err, apikey.Conflict); err != nil {
			return err
		}
		got, err := e.get("key")
		if err != nil {
			return err
		}
		return same("the first one stays", got, r)
	}},
	{name: "of many who create one key at once, one does", run: func(e *env) error {
		const writers, rounds = 16, 8
		for round := range rounds {
			var (
				wg    sync.WaitGroup
				errs  = make([]error, writers)
				id    = "key " + strconv.Itoa(round)
				start = make(chan struct{})
			)
			for w := range writers {
				wg.Go(func() {
					r := plain(id)
					r.Key.Name, r.Request = strconv.Itoa(w), [32]byte{byte(w + 1)}
					<-start
					_, errs[w] = e.s.Apply(e.ctx, change(r, "create"))
				})
			}
			close(start)
			wg.Wait()
			won := -1
			for w, err := range errs {
				switch {
				case err == nil && won >= 0:
					return broken("writers %d and %d both created key %q", won, w, id)
				case err == nil:
					won = w
				case !errors.Is(err, apikey.Conflict):
					return broken("create at once: got error %w, want ErrConflict", err)
				}
			}
			if won < 0 {
				return broken("nobody created key %q", id)
			}
			got, err := e.get(id)
			if err != nil {
				return err
			}
			if err := equal("the key is the winner's", got.Key.Name, strconv.Itoa(won)); err != nil {
				return err
			}
			if err := equal("all of it", got.Request, [32]byte{byte(won + 1)}); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "a change needs the current revision", run: func(e *env) error {
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		for range 3 {
			if r, err = e.apply(r, "update"); err != nil {
				return err
			}
		}
		for _, rev := range []uint64{1, 3, 5, 1 << 62} {
			stale := r.Clone()
			stale.Key.Revision, stale.Key.Name = rev, "stale"
			_, err := e.s.Apply(e.ctx, change(stale, "update"))
			if err := want(fmt.Sprintf("update of revision 4 from revision %d", rev), err, apikey.Conflict); err != nil {
				return err
			}
		}
		got, err := e.get("key")
		if err != nil {
			return err
		}
		return same("a refused change changes nothing", got, r)
	}},
	{name: "the revision is the store's: Expect plus one, whatever the record says", run: func(e *env) error {
		r := plain("key")
		c := change(r, "create")
		c.Record.Key.Revision = 77
		rev, err := e.s.Apply(e.ctx, c)
		if err != nil || rev != 1 {
			return broken("create with Record.Key.Revision 77: got %d, %w; want 1", rev, err)
		}
		got, err := e.get("key")
		if err != nil {
			return err
		}
		return equal("revision after create", got.Key.Revision, 1)
	}},
	{name: "of many writers one wins each revision, and no update is lost", run: func(e *env) error {
		const writers, wins = 16, 5
		if _, err := e.create("key", func(k *apikey.Key) { k.Metadata = map[string]string{"n": "0"} }); err != nil {
			return err
		}
		var (
			wg   sync.WaitGroup
			errs = make([]error, writers)
			seen sync.Map // revision -> writer
		)
		for w := range writers {
			wg.Go(func() {
				for won := 0; won < wins && errs[w] == nil; {
					r, err := e.get("key")
					if err != nil {
						errs[w] = err
						return
					}
					n, _ := strconv.Atoi(r.Key.Metadata["n"])
					r.Key.Metadata["n"] = strconv.Itoa(n + 1)
					rev, err := e.s.Apply(e.ctx, change(r, "update"))
					switch {
					case err == nil:
						won++
						if other, twice := seen.LoadOrStore(rev, w); twice {
							errs[w] = broken("writers %v and %d both wrote revision %d", other, w, rev)
						}
					case !errors.Is(err, apikey.Conflict):
						errs[w] = err
					}
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		r, err := e.get("key")
		if err != nil {
			return err
		}
		if err := equal("the revision counts the changes", r.Key.Revision, 1+writers*wins); err != nil {
			return err
		}
		return equal("no update is lost", r.Key.Metadata["n"], strconv.Itoa(writers*wins))
	}},
	{name: "a change that makes no sense is InvalidArgument and changes nothing", run: func(e *env) error {
		for what, edit := range map[string]func(c *storage.Change){
			"an empty ID":               func(c *storage.Change) { c.Record.Key.ID, c.Entry.KeyID = "", "" },
			"an entry for another key":  func(c *storage.Change) { c.Entry.KeyID = "other" },
			"no secret":                 func(c *storage.Change) { c.Record.Key.Secrets, c.Record.Digests = nil, nil },
			"a secret without a digest": func(c *storage.Change) { c.Record.Digests = nil },
			"three secrets": func(c *storage.Change) {
				c.Record.Key.Secrets, c.Record.Digests = make([]apikey.Secret, 3), make([]storage.Digest, 3)
			},
		} {
			c := change(plain("key"), "create")
			edit(&c)
			_, err := e.s.Apply(e.ctx, c)
			if err := want(what, err, apikey.InvalidArgument); err != nil {
				return err
			}
		}
		return e.isEmpty()
	}},
	{name: "what was acknowledged survives a restart", needs: needsReopen, run: func(e *env) error {
		var all []storage.Record
		for round := range 3 {
			for i := range 20 {
				r := full(fmt.Sprintf("key-%d-%d", round, i))
				r.Key.CreatedAt = at(100*round + i)
				r, err := e.apply(r, "create")
				if err != nil {
					return err
				}
				all = append(all, r)
			}
			for i := range all {
				var err error
				all[i].Key.Name = fmt.Sprint("round ", round)
				if all[i], err = e.apply(all[i], "update"); err != nil {
					return err
				}
			}
			e.reopen()
			list, err := e.list(storage.Query{Limit: 1000})
			if err != nil || len(list) != len(all) {
				return broken("after a restart %d of %d keys are listed, %w", len(list), len(all), err)
			}
			for i, r := range all {
				if err := same("after a restart", list[len(all)-1-i], r); err != nil {
					return err
				}
			}
		}
		return nil
	}},
}

// isEmpty checks that the store has no key and no audit entry.
func (e *env) isEmpty() error {
	list, err := e.list(storage.Query{})
	if err != nil {
		return err
	}
	trail, err := e.s.Audit(e.ctx, apikey.AuditQuery{})
	if err != nil {
		return err
	}
	if len(list) > 0 || len(trail) > 0 {
		return broken("a refused change left %d keys and %d audit entries", len(list), len(trail))
	}
	return nil
}
