package storetest

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// firstTime and lastTime are the limits of the times that can be represented: JSON and RFC 3339 have four-digit years.
var (
	firstTime = time.Time{}.Add(time.Microsecond)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
)

// farTimes are times that cannot be represented, some of them not even in
// microseconds.
var farTimes = []time.Time{
	lastTime.Add(1), time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -5*3600)), time.Date(294277, 1, 1, 0, 0, 0, 0, time.UTC),
	time.Date(1<<20, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}.Add(1), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1<<20, 1, 1, 0, 0, 0, 0, time.UTC),
	time.Unix(math.MinInt64/4, 0), time.Unix(math.MaxInt64/4, 0),
}

var toldChecks = []check{
	{name: "what can be represented comes back to the edges", run: func(e *env) error {
		r := plain("key")
		k := &r.Key
		k.CreatedAt, k.UpdatedAt, k.ExpiresAt, k.DisabledAt = firstTime, firstTime, lastTime, lastTime
		k.Secrets[0] = apikey.Secret{Number: math.MaxUint32, CreatedAt: firstTime, EndsAt: lastTime, Grace: math.MaxInt64, FirstUsedAt: lastTime}
		k.Limits = []apikey.Limit{{Name: "x", N: math.MaxInt64, Window: math.MaxInt64}}
		r, err := e.apply(r, "create")
		if err != nil {
			return err
		}
		cut := lastTime.Truncate(time.Microsecond)
		r.Key.ExpiresAt, r.Key.DisabledAt, r.Key.Secrets[0].EndsAt, r.Key.Secrets[0].FirstUsedAt = cut, cut, cut, cut
		got, err := e.get("key")
		if err != nil {
			return err
		}
		return same("get", got, r)
	}},
	{name: "what cannot be represented is refused, and leaves no trace", run: func(e *env) error {
		type spoil = func(c *storage.Change)
		all := map[string]spoil{}
		for _, t := range farTimes {
			for field, of := range map[string]func(c *storage.Change) *time.Time{
				"CreatedAt":              func(c *storage.Change) *time.Time { return &c.Record.Key.CreatedAt },
				"UpdatedAt":              func(c *storage.Change) *time.Time { return &c.Record.Key.UpdatedAt },
				"ExpiresAt":              func(c *storage.Change) *time.Time { return &c.Record.Key.ExpiresAt },
				"DisabledAt":             func(c *storage.Change) *time.Time { return &c.Record.Key.DisabledAt },
				"RevokedAt":              func(c *storage.Change) *time.Time { return &c.Record.Key.RevokedAt },
				"Secrets[0].CreatedAt":   func(c *storage.Change) *time.Time { return &c.Record.Key.Secrets[0].CreatedAt },
				"Secrets[0].EndsAt":      func(c *storage.Change) *time.Time { return &c.Record.Key.Secrets[0].EndsAt },
				"Secrets[0].FirstUsedAt": func(c *storage.Change) *time.Time { return &c.Record.Key.Secrets[0].FirstUsedAt },
				"Entry.At":               func(c *storage.Change) *time.Time { return &c.Entry.At },
			} {
				all[field+" "+t.String()] = func(c *storage.Change) { *of(c) = t }
			}
		}
		for _, s := range []string{"\x00", "a\xff", "\xed\xa0\x80"} {
			for field, of := range map[string]spoil{
				"Name":         func(c *storage.Change) { c.Record.Key.Name = s },
				"Owner":        func(c *storage.Change) { c.Record.Key.Owner, c.Entry.Owner = s, s },
				"Environment":  func(c *storage.Change) { c.Record.Key.Environment = s },
				"Plan":         func(c *storage.Change) { c.Record.Key.Plan = s },
				"CreatedBy":    func(c *storage.Change) { c.Record.Key.CreatedBy = s },
				"Scopes":       func(c *storage.Change) { c.Record.Key.Scopes = []string{s} },
				"Limits":       func(c *storage.Change) { c.Record.Key.Limits = []apikey.Limit{{Name: s}} },
				"Limits unit":  func(c *storage.Change) { c.Record.Key.Limits = []apikey.Limit{{Unit: s}} },
				"Limits zone":  func(c *storage.Change) { c.Record.Key.Limits = []apikey.Limit{{Zone: s}} },
				"Limits kind":  func(c *storage.Change) { c.Record.Key.Limits = []apikey.Limit{{Period: apikey.Period(s)}} },
				"Metadata":     func(c *storage.Change) { c.Record.Key.Metadata = map[string]string{"a": s} },
				"Metadata key": func(c *storage.Change) { c.Record.Key.Metadata = map[string]string{s: "a"} },
				"Actor":        func(c *storage.Change) { c.Entry.Actor = s },
				"From":         func(c *storage.Change) { c.Entry.From = s },
				"Reason":       func(c *storage.Change) { c.Entry.Reason = s },
				"Details":      func(c *storage.Change) { c.Entry.Details = map[string]string{"a": s} },
			} {
				all[field+" "+strings.ToValidUTF8(s, "?")] = of
			}
		}
		all["Networks"] = func(c *storage.Change) { c.Record.Key.Networks = make([]netip.Prefix, 1) }
		before, err := e.create("there", nil)
		if err != nil {
			return err
		}
		for what, spoil := range all {
			create, update := change(plain("key"), "create"), change(before.Clone(), "update")
			spoil(&create)
			spoil(&update)
			for _, c := range []storage.Change{create, update} {
				if _, err := e.s.Apply(e.ctx, c); want(what, err, apikey.InvalidArgument) != nil {
					return want("Apply of what cannot be represented: "+what, err, apikey.InvalidArgument)
				}
			}
		}
		if _, err := e.s.Get(e.ctx, "key"); want("get", err, apikey.NotFound) != nil {
			return want("get of a key that was refused", err, apikey.NotFound)
		}
		got, err := e.get("there")
		if err != nil {
			return err
		}
		if err := same("a key of which changes were refused", got, before); err != nil {
			return err
		}
		trail, err := e.s.Audit(e.ctx, apikey.AuditQuery{})
		if err != nil || len(trail) != 1 {
			return broken("changes that were refused are in the audit trail: %d entries, %w", len(trail), err)
		}
		return nil
	}},
	{name: "instants of queries mean themselves, however far away", run: func(e *env) error {
		r, err := e.create("key", func(k *apikey.Key) { k.ExpiresAt = lastTime })
		if err != nil {
			return err
		}
		hour := storage.UsageDelta{KeyID: r.Key.ID, Secret: 1, Hour: start, Counts: apikey.Counts{Allowed: 1}, Last: apikey.LastUse{At: at(1)}}
		if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{hour}); err != nil {
			return err
		}
		for _, t := range farTimes {
			if t.Truncate(time.Microsecond).IsZero() {
				continue // once truncated, it is the zero time
			}
			past := 1
			if t.After(start) {
				past = 0
			}
			u, err := e.s.Usage(e.ctx, "key", t)
			if err != nil || len(u.Hours) != past {
				return broken("usage since %v: %d hours, want %d; %v", t, len(u.Hours), past, err)
			}
			a, err := e.s.Activity(e.ctx, []string{"key"}, t)
			if err != nil || len(a) != 1 || len(a[0].Days) != past {
				return broken("activity since %v: %+v, want %d days; %v", t, a, past, err)
			}
			l, err := e.s.List(e.ctx, storage.Query{UnusedSince: t})
			if err != nil || len(l.Records) != 1-past {
				return broken("keys unused since %v: %d, want %d; %v", t, len(l.Records), 1-past, err)
			}
			before := 0
			if t.After(lastTime) {
				before = 1
			}
			l, err = e.s.List(e.ctx, storage.Query{ExpiresBefore: t})
			if err != nil || len(l.Records) != before {
				return broken("keys that expire before %v: %d, want %d; %v", t, len(l.Records), before, err)
			}
			for _, o := range []storage.Order{storage.NewestFirst, storage.OldestFirst} {
				after := 0
				if t.After(start) == (o == storage.NewestFirst) {
					after = 1
				}
				l, err = e.s.List(e.ctx, storage.Query{Order: o, After: storage.Position{CreatedAt: t, ID: "key"}})
				if err != nil || len(l.Records) != after {
					return broken("order %d after %v: %d keys, want %d; %v", o, t, len(l.Records), after, err)
				}
			}
		}
		return nil
	}},
}
