package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var revocationChecks = []check{
	{name: "revoked stays revoked, whatever revision a change was made from", run: func(e *env) error {
		active, err := e.create("key", nil)
		if err != nil {
			return err
		}
		r, err := e.revoke(active)
		if err != nil {
			return err
		}
		if err := e.staysRevoked(active, r); err != nil {
			return err
		}
		// Fields that are not part of the revocation may still change.
		r.Key.Name = "renamed"
		if r, err = e.apply(r, "update"); err != nil {
			return err
		}
		return e.staysRevoked(active, r)
	}},
	{name: "who revoked a key, when and why is never altered", run: func(e *env) error {
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		if r, err = e.revoke(r); err != nil {
			return err
		}
		for what, edit := range map[string]func(k *apikey.Key){
			"when":            func(k *apikey.Key) { k.RevokedAt = k.RevokedAt.Add(time.Microsecond) },
			"by whom":         func(k *apikey.Key) { k.RevokedBy = "somebody else" },
			"why":             func(k *apikey.Key) { k.RevokeReason = "" },
			"all but the day": func(k *apikey.Key) { k.RevokedBy, k.RevokeReason = "", "" },
		} {
			altered := r.Clone()
			edit(&altered.Key)
			_, err := e.s.Apply(e.ctx, change(altered, "update"))
			if err := want("altering "+what, err, apikey.InvalidState); err != nil {
				return err
			}
		}
		same := r.Clone()
		same.Key.RevokedAt = same.Key.RevokedAt.Add(999 * time.Nanosecond).Local() // the same microsecond
		_, err = e.apply(same, "update")
		return err
	}},
	{name: "no concurrent update brings a revoked key back", run: func(e *env) error {
		for round := range 5 {
			id := fmt.Sprint("key", round)
			active, err := e.create(id, nil)
			if err != nil {
				return err
			}
			if err := e.race(id); err != nil {
				return err
			}
			r, err := e.get(id)
			if err != nil {
				return err
			}
			if err := e.staysRevoked(active, r); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "revoked stays revoked through restarts and compaction", run: func(e *env) error {
		var active, revoked []storage.Record
		for round := range 2 {
			for i := range 25 {
				a, err := e.create(fmt.Sprintf("key-%d-%d", round, i), nil)
				if err != nil {
					return err
				}
				r := a
				for range i % 3 {
					if r, err = e.apply(r, "update"); err != nil {
						return err
					}
				}
				if i%2 == 0 && e.h.Reopen != nil && i == 10 {
					e.reopen() // the active version and the revoked one are now in different files
				}
				if r, err = e.revoke(r); err != nil {
					return err
				}
				active, revoked = append(active, a), append(revoked, r)
			}
			if e.h.Reopen != nil {
				e.reopen()
			}
			if e.h.Compact != nil {
				e.compact()
			}
			for i := range active {
				if err := e.staysRevoked(active[i], revoked[i]); err != nil {
					return err
				}
			}
		}
		return nil
	}},
	{name: "only a revoked key is purged, from its current revision", run: func(e *env) error {
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		purge := func(r storage.Record, rev uint64) error {
			c := change(r, "purge")
			c.Delete, c.Expect = true, rev
			_, err := e.s.Apply(e.ctx, c)
			return err
		}
		if err := want("purge of an active key", purge(r, r.Key.Revision), apikey.InvalidState); err != nil {
			return err
		}
		claimed := r.Clone() // what the caller claims about the record does not matter
		claimed.Key.RevokedAt = at(1)
		if err := want("purge of an active key that is said to be revoked", purge(claimed, r.Key.Revision), apikey.InvalidState); err != nil {
			return err
		}
		if r, err = e.revoke(r); err != nil {
			return err
		}
		if err := want("purge from an old revision", purge(r, 1), apikey.Conflict); err != nil {
			return err
		}
		_, err = e.get("key")
		return err
	}},
	{name: "a purged key is gone for good, and its audit trail stays", run: func(e *env) error {
		var purged []storage.Record
		for i := range 10 {
			id := fmt.Sprint("key", i)
			active, err := e.create(id, nil)
			if err != nil {
				return err
			}
			r, err := e.revoke(active)
			if err != nil {
				return err
			}
			c := change(r, "purge")
			c.Delete = true
			rev, err := e.s.Apply(e.ctx, c)
			if err != nil || rev != 3 {
				return broken("purge: got revision %d, %w; want 3", rev, err)
			}
			purged = append(purged, active)
		}
		gone := func() error {
			for _, r := range purged {
				_, err := e.s.Get(e.ctx, r.Key.ID)
				if err := want("get of a purged key", err, apikey.NotFound); err != nil {
					return err
				}
				_, err = e.s.Apply(e.ctx, change(r, "update"))
				if err := want("update of a purged key", err, apikey.NotFound); err != nil {
					return err
				}
				trail, err := e.s.Audit(e.ctx, apikey.AuditQuery{KeyID: r.Key.ID})
				if err != nil {
					return err
				}
				if err := equal("audit trail of a purged key", actions(trail),
					[]string{"purge", "revoke", "create"}); err != nil {
					return err
				}
			}
			list, err := e.list(storage.Query{})
			if err != nil {
				return err
			}
			return equal("purged keys are not listed", ids(list), []string{})
		}
		if err := gone(); err != nil {
			return err
		}
		for range 2 {
			if e.h.Reopen != nil {
				e.reopen()
			}
			if e.h.Compact != nil {
				e.compact()
			}
			if err := gone(); err != nil {
				return err
			}
		}
		return nil
	}},
}

// staysRevoked tries to restore a key in every way that the interface allows,
// and checks that it is still the revoked one.
func (e *env) staysRevoked(active, revoked storage.Record) error {
	for rev := range revoked.Key.Revision + 2 {
		try := active.Clone()
		try.Key.Revision = rev
		_, err := e.s.Apply(e.ctx, change(try, "update"))
		if err := want(fmt.Sprintf("taking back a revocation from revision %d of %d", rev, revoked.Key.Revision), err, apikey.InvalidState); err != nil {
			return err
		}
	}
	got, err := e.get(revoked.Key.ID)
	if err != nil {
		return err
	}
	return same("a revoked key stays as it was", got, revoked)
}

// race lets eight writers update a key while a ninth revokes it. A writer that
// tries after the revocation was acknowledged must be told that the key is
// revoked.
func (e *env) race(id string) error {
	const writers = 8
	var (
		wg      sync.WaitGroup
		revoked atomic.Bool
		errs    = make([]error, writers+1)
	)
	for w := range writers {
		wg.Go(func() {
			for err := error(nil); !errors.Is(err, apikey.InvalidState); {
				after := revoked.Load()
				r, failed := e.get(id)
				if failed != nil {
					errs[w] = failed
					return
				}
				r.Key.RevokedAt, r.Key.RevokedBy, r.Key.RevokeReason = time.Time{}, "", ""
				r.Key.Name = fmt.Sprint("writer ", w)
				_, err = e.s.Apply(e.ctx, change(r, "update"))
				if after && !errors.Is(err, apikey.InvalidState) {
					errs[w] = broken("an update after the revocation was acknowledged: got error %v, want InvalidState", err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		defer revoked.Store(true)
		for {
			r, err := e.get(id)
			if err == nil {
				_, err = e.revoke(r)
			}
			if !errors.Is(err, apikey.Conflict) {
				errs[writers] = err
				return
			}
		}
	})
	wg.Wait()
	return errors.Join(errs...)
}

func actions(trail []apikey.AuditEntry) []string {
	var out []string
	for _, e := range trail {
		out = append(out, e.Action)
	}
	return out
}
