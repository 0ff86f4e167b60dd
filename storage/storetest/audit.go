package storetest

import (
	"fmt"
	"slices"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var auditChecks = []check{
	{name: "each change has one audit entry, a refused change none", run: func(e *env) error {
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		want := []string{"create"}
		for _, a := range []string{
			"update", "disable", "enable", "rotate", "first_use",
			"finish_rotation", "cancel_rotation", "redigest", "update",
		} {
			if r, err = e.apply(r, a); err != nil {
				return err
			}
			want = slices.Insert(want, 0, a)
			if _, err := e.s.Apply(e.ctx, change(plain("key"), "create")); err == nil {
				return broken("a key is created twice")
			}
			stale := r.Clone()
			stale.Key.Revision--
			if _, err := e.s.Apply(e.ctx, change(stale, "update")); err == nil {
				return broken("a stale change is accepted")
			}
			c := change(r, "purge")
			c.Delete = true
			if _, err := e.s.Apply(e.ctx, c); err == nil {
				return broken("an active key is purged")
			}
		}
		for _, q := range []apikey.AuditQuery{{}, {KeyID: "key"}, {Owner: "acme"}, {KeyID: "key", Owner: "acme"}} {
			trail, err := e.s.Audit(e.ctx, q)
			if err != nil {
				return err
			}
			if err := equal(fmt.Sprintf("audit %+v", q), actions(trail), want); err != nil {
				return err
			}
			if err := falling(trail); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "an audit entry comes back as it was written, with the store's Seq", run: func(e *env) error {
		c := change(plain("key"), "create")
		c.Entry = apikey.AuditEntry{
			Seq: 1 << 60, At: start.Add(1999), Actor: "ann", From: "2001:db8::1", Action: "create", KeyID: "key",
			Owner: "another owner than the key's", Reason: "because", Details: map[string]string{"plan": "free -> pro", "": ""},
		}
		if _, err := e.s.Apply(e.ctx, c); err != nil {
			return err
		}
		trail, err := e.s.Audit(e.ctx, apikey.AuditQuery{})
		if err != nil || len(trail) != 1 {
			return broken("audit: %d entries, %w", len(trail), err)
		}
		if trail[0].Seq == 0 || trail[0].Seq == 1<<60 {
			return broken("the store sets Seq; got %d", trail[0].Seq)
		}
		want := c.Entry
		want.Seq, want.At = trail[0].Seq, start.Add(1000)
		return equal("audit entry", trail[0], want)
	}},
	{name: "the audit trail is filtered and paged exactly, newest first", run: func(e *env) error {
		want := map[apikey.AuditQuery][]string{}
		recs := map[string]storage.Record{}
		for i := range 60 {
			id, owner := fmt.Sprint("k", i%7), []string{"a", "ab", "b"}[i%3]
			reason := fmt.Sprint(i)
			r, ok := recs[id]
			if !ok {
				r = plain(id)
			}
			c := change(r, "update")
			c.Entry.Owner, c.Entry.Reason = owner, reason
			rev, err := e.s.Apply(e.ctx, c)
			if err != nil {
				return err
			}
			r.Key.Revision = rev
			recs[id] = r
			for _, q := range []apikey.AuditQuery{{}, {KeyID: id}, {Owner: owner}, {KeyID: id, Owner: owner}} {
				want[q] = slices.Insert(want[q], 0, reason)
			}
		}
		want[apikey.AuditQuery{KeyID: "k"}] = nil
		want[apikey.AuditQuery{Owner: "nobody"}] = nil
		for q, w := range want {
			for _, limit := range []int{1, 4, 1000} {
				var got []string
				q.Before, q.Limit = 0, limit
				for {
					page, err := e.s.Audit(e.ctx, q)
					if err != nil {
						return err
					}
					if err := falling(page); err != nil {
						return err
					}
					if len(page) == 0 {
						break
					}
					for _, a := range page {
						if q.Before > 0 && a.Seq >= q.Before {
							return broken("audit %+v: entry %d is not before", q, a.Seq)
						}
						got = append(got, a.Reason)
					}
					q.Before = page[len(page)-1].Seq
				}
				if err := equal(fmt.Sprintf("audit %+v", q), got, w); err != nil {
					return err
				}
			}
		}
		return nil
	}},
	{name: "Seq goes on rising after a restart", needs: needsReopen, run: func(e *env) error {
		r, err := e.create("key", nil)
		if err != nil {
			return err
		}
		for range 3 {
			for range 3 {
				if r, err = e.apply(r, "update"); err != nil {
					return err
				}
			}
			e.reopen()
		}
		if r, err = e.revoke(r); err != nil {
			return err
		}
		c := change(r, "purge")
		c.Delete = true
		if _, err := e.s.Apply(e.ctx, c); err != nil {
			return err
		}
		e.reopen()
		if _, err := e.create("another", nil); err != nil {
			return err
		}
		trail, err := e.s.Audit(e.ctx, apikey.AuditQuery{})
		if err != nil {
			return err
		}
		if len(trail) != 13 || trail[0].KeyID != "another" {
			return broken("13 changes over 4 restarts have %d audit entries, the newest of key %q", len(trail), trail[0].KeyID)
		}
		return falling(trail)
	}},
}

// falling checks that entries, newest first, have strictly decreasing numbers.
func falling(trail []apikey.AuditEntry) error {
	for i := range trail {
		if trail[i].Seq == 0 || i > 0 && trail[i].Seq >= trail[i-1].Seq {
			return broken("Seq rises strictly with each change; entry %d from the newest has %d", i, trail[i].Seq)
		}
	}
	return nil
}
