package storetest

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var recordChecks = []check{
	{name: "a record comes back as it was written", run: func(e *env) error {
		for _, r := range []storage.Record{plain("plain"), full("full")} {
			r, err := e.apply(r, "create")
			if err != nil {
				return err
			}
			got, err := e.get(r.Key.ID)
			if err != nil {
				return err
			}
			if err := same("get after create", got, r); err != nil {
				return err
			}
			list, err := e.list(storage.Query{Limit: 1000})
			if err != nil {
				return err
			}
			for _, l := range list {
				if l.Key.ID == r.Key.ID {
					err = same("list after create", l, r)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "an update replaces every field", run: func(e *env) error {
		before, err := e.apply(full("key"), "create")
		if err != nil {
			return err
		}
		after := plain("key") // every field that may be removed is removed
		k := &after.Key
		k.Owner, k.Environment, k.CreatedAt = "other", "test", at(99)
		k.RevokedAt, k.RevokedBy, k.RevokeReason = before.Key.RevokedAt, before.Key.RevokedBy, before.Key.RevokeReason
		k.Revision = before.Key.Revision
		if after, err = e.apply(after, "update"); err != nil {
			return err
		}
		got, err := e.get("key")
		if err != nil {
			return err
		}
		if err := same("get after update", got, after); err != nil {
			return err
		}
		for q, want := range map[storage.Query][]string{
			{}:                                          {"key"},
			{Owner: "other"}:                            {"key"},
			{Environment: "test"}:                       {"key"},
			{Owner: "other", Environment: "test"}:       {"key"},
			{Owner: before.Key.Owner}:                   {},
			{Environment: before.Key.Environment}:       {},
			{Owner: "other", Environment: "live"}:       {},
			{After: storage.Position{CreatedAt: at(1)}}: {},
		} {
			list, err := e.list(q)
			if err != nil {
				return err
			}
			if err := equal(fmt.Sprintf("a key is listed where it is now, once; list %+v", q), ids(list), want); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "times come back in UTC, cut to the microsecond, zero as zero", run: func(e *env) error {
		r := plain("key")
		r.Key.CreatedAt = start.Add(1234567 * time.Nanosecond).In(time.FixedZone("somewhere", 19800))
		r.Key.ExpiresAt = time.Date(2999, 12, 31, 23, 59, 59, 999_999_999, time.Local)
		r.Key.UpdatedAt = time.Now() // with a monotonic reading
		r.Key.Secrets[0].CreatedAt = time.Unix(-1, 999)
		if _, err := e.s.Apply(e.ctx, change(r, "create")); err != nil {
			return err
		}
		got, err := e.get("key")
		if err != nil {
			return err
		}
		for name, pair := range map[string][2]time.Time{
			"CreatedAt":            {got.Key.CreatedAt, start.Add(1234 * time.Microsecond)},
			"ExpiresAt":            {got.Key.ExpiresAt, time.Date(2999, 12, 31, 23, 59, 59, 999_999_000, time.Local).UTC()},
			"UpdatedAt":            {got.Key.UpdatedAt, r.Key.UpdatedAt.UTC().Truncate(time.Microsecond)},
			"RevokedAt":            {got.Key.RevokedAt, time.Time{}},
			"Secrets[0].CreatedAt": {got.Key.Secrets[0].CreatedAt, time.Unix(-1, 0).UTC()},
			"Secrets[0].EndsAt":    {got.Key.Secrets[0].EndsAt, time.Time{}},
		} {
			if pair[0] != pair[1] {
				return broken("%s: got %#v, want %#v", name, pair[0], pair[1])
			}
		}
		return nil
	}},
	{name: "nothing is shared with the caller", run: func(e *env) error {
		original, err := e.apply(full("key"), "create")
		if err != nil {
			return err
		}
		original = original.Clone()

		given := full("given")
		c := change(given, "create")
		c.Entry.Details = map[string]string{"name": "old -> new"}
		if _, err := e.s.Apply(e.ctx, c); err != nil {
			return err
		}
		scribble(given)
		c.Entry.Details["name"] = "scribbled"
		got, err := e.get("given")
		if err != nil {
			return err
		}
		w := full("given")
		w.Key.Revision = 1
		if err := same("the store keeps nothing of the caller's: get after the argument of Apply was scribbled on", got, w); err != nil {
			return err
		}

		for range 2 { // what the first round overwrites must not be seen in the second
			got, err := e.get("key")
			if err != nil {
				return err
			}
			if err := same("the caller owns what Get returns", got, original); err != nil {
				return err
			}
			list, err := e.list(storage.Query{})
			if err != nil || len(list) != 2 {
				return broken("list: %d records, %w", len(list), err)
			}
			for _, r := range list {
				if r.Key.ID == "key" {
					if err := same("the caller owns what List returns", r, original); err != nil {
						return err
					}
				}
				scribble(r)
			}
			scribble(got)
			trail, err := e.s.Audit(e.ctx, apikey.AuditQuery{KeyID: "given"})
			if err != nil || len(trail) != 1 {
				return broken("audit: %d entries, %w", len(trail), err)
			}
			if err := equal("the details of an audit entry are nobody else's", trail[0].Details, map[string]string{"name": "old -> new"}); err != nil {
				return err
			}
			trail[0].Details["name"] = "scribbled"
		}
		return nil
	}},
	{name: "metadata may be empty or 64 KiB", run: func(e *env) error {
		large := strings.Repeat("0123456789abcdef", 4<<10-1)
		for id, m := range map[string]map[string]string{"nil": nil, "empty": {}, "large": {"k": large}, "many": many(1000)} {
			r, err := e.create(id, func(k *apikey.Key) { k.Metadata = m })
			if err != nil {
				return err
			}
			got, err := e.get(id)
			if err != nil {
				return err
			}
			if err := same("metadata "+id, got, r); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "strings are bytes: no key, owner or text is taken for another", run: func(e *env) error {
		written := map[string]storage.Record{}
		for i, h := range hostile {
			r := full(h)
			k := &r.Key
			k.Name, k.Owner, k.Environment, k.Plan, k.CreatedBy = h, h, h, h, h
			k.DisabledBy, k.RevokedBy, k.RevokeReason = h, h, h
			k.Scopes, k.Metadata = []string{h, h}, map[string]string{h: h}
			k.CreatedAt = at(i)
			c := change(r, h)
			c.Entry.Actor, c.Entry.From, c.Entry.Reason, c.Entry.Details = h, h, h, map[string]string{h: h}
			if _, err := e.s.Apply(e.ctx, c); err != nil {
				return broken("create %q: %w", h, err)
			}
			k.Revision = 1
			written[h] = r
			if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{{
				KeyID: h, Secret: uint32(i), Hour: start, Last: apikey.LastUse{At: at(i), Network: h, UserAgent: h},
			}}); err != nil {
				return broken("usage of %q: %w", h, err)
			}
		}
		for i, h := range hostile {
			got, err := e.get(h)
			if err != nil {
				return err
			}
			if err := same(fmt.Sprintf("get %q", h), got, written[h]); err != nil {
				return err
			}
			for _, q := range []storage.Query{{Owner: h}, {Environment: h}, {Owner: h, Environment: h}} {
				list, err := e.list(q)
				if err != nil {
					return err
				}
				if err := equal(fmt.Sprintf("list %#v", q), ids(list), []string{h}); err != nil {
					return err
				}
			}
			for _, q := range []apikey.AuditQuery{{KeyID: h}, {Owner: h}, {KeyID: h, Owner: h}} {
				trail, err := e.s.Audit(e.ctx, q)
				if err != nil {
					return err
				}
				w := []apikey.AuditEntry{{
					At: at(1), Actor: h, From: h, Action: h, KeyID: h, Owner: h, Reason: h, Details: map[string]string{h: h},
				}}
				for i := range trail {
					trail[i].Seq = 0
				}
				if err := equal(fmt.Sprintf("audit %#v", q), trail, w); err != nil {
					return err
				}
			}
			u, err := e.s.Usage(e.ctx, h, time.Time{})
			if err != nil {
				return err
			}
			if err := equal(fmt.Sprintf("usage of %q", h), u.Secrets, []apikey.UsageSecret{{
				Secret: uint32(i), Last: apikey.LastUse{At: at(i), Network: h, UserAgent: h},
			}}); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "a damaged record is an error for its key alone", needs: needsCorrupt, run: func(e *env) error {
		for i, id := range []string{"one", "two", "three"} {
			if _, err := e.create(id, func(k *apikey.Key) { k.CreatedAt = at(i) }); err != nil {
				return err
			}
		}
		e.h.Corrupt(e.t, e.s, "two")
		if _, err := e.s.Get(e.ctx, "two"); err == nil || apikey.CodeOf(err) == apikey.NotFound {
			return broken("get of a damaged record: got error %v, want one that says so and not NotFound", err)
		}
		for _, id := range []string{"one", "three"} {
			if _, err := e.get(id); err != nil {
				return err
			}
		}
		list, err := e.list(storage.Query{})
		if err != nil {
			return broken("list with one damaged record: %w", err)
		}
		if err := equal("the others are listed", ids(list), []string{"three", "one"}); err != nil {
			return err
		}
		if list, err = e.list(storage.Query{Limit: 1, After: storage.Position{CreatedAt: at(2), ID: "three"}}); err != nil {
			return err
		}
		if err := equal("a damaged record does not make a page short", ids(list), []string{"one"}); err != nil {
			return err
		}
		_, err = e.create("two", nil)
		if err == nil {
			return broken("a damaged record can be replaced by a new key: it may have been revoked")
		}
		return nil
	}},
}

// scribble overwrites all memory that a record refers to.
func scribble(r storage.Record) {
	k := &r.Key
	for i := range k.Scopes {
		k.Scopes[i] = "scribbled"
	}
	for i := range k.Limits {
		k.Limits[i] = apikey.Limit{}
	}
	for i := range k.Networks {
		k.Networks[i] = netip.Prefix{}
	}
	for name := range k.Metadata {
		k.Metadata[name] = "scribbled"
	}
	for i := range k.Secrets {
		k.Secrets[i] = apikey.Secret{}
	}
	for i := range r.Digests {
		r.Digests[i] = storage.Digest{}
	}
}

func many(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("name %d", i)] = fmt.Sprintf("value %d", i)
	}
	return m
}
