package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

func broken(format string, args ...any) error { return fmt.Errorf(format, args...) }

// start is the time of the suite's data: the start of an hour, and a recent
// one, because hourly usage is kept for a limited time.
var start = time.Now().UTC().Truncate(time.Hour)

// at returns the time n milliseconds and one microsecond after start.
func at(n int) time.Time {
	return start.Add(time.Duration(n)*time.Millisecond + time.Microsecond)
}

// plain returns the record of a simple key.
func plain(id string) storage.Record {
	return storage.Record{
		Key: apikey.Key{
			ID: id, Name: "name", Owner: "acme", Environment: "live", Plan: "free",
			CreatedAt: at(0), CreatedBy: "ann", UpdatedAt: at(0),
			Secrets: []apikey.Secret{{Number: 1, CreatedAt: at(0)}},
		},
		Digests: []storage.Digest{{Sum: [32]byte{1}, Pepper: 1}},
	}
}

// full returns a record in which every field is set.
func full(id string) storage.Record {
	r := plain(id)
	k := &r.Key
	k.Scopes = []string{"orders:read", "orders:write", "*"}
	k.Limits = []apikey.Limit{
		apikey.PerMinute(7),
		{Name: "day", N: 1e9, Window: 31 * 24 * time.Hour},
		{Name: "parallel", N: 2, Concurrent: true},
		{Name: "month", N: 1e15, Period: apikey.Monthly, Zone: "Europe/Berlin", Unit: "tokens", Shadow: true},
	}
	k.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::/0")}
	k.Metadata = map[string]string{"team": "ops", "": "empty key", "empty": ""}
	k.ExpiresAt, k.UpdatedAt = at(500), at(3)
	k.DisabledAt, k.DisabledBy, k.Locked = at(4), "bob", true
	k.RevokedAt, k.RevokedBy, k.RevokeReason = at(5), "carol", "leaked in a log"
	k.Secrets = []apikey.Secret{
		{Number: 2, CreatedAt: at(2), EndsAt: at(9), Grace: 90 * time.Minute, FirstUsedAt: at(3)},
		{Number: 1, CreatedAt: at(0), EndsAt: at(8), Grace: time.Nanosecond, FirstUsedAt: at(1)},
	}
	r.Digests = []storage.Digest{{Sum: [32]byte{0xff, 31: 2}, Pepper: 4_000_000_000}, {Sum: [32]byte{31: 1}, Pepper: 3}}
	r.Request = [32]byte{0xfe, 31: 3}
	r.Extensions = []byte{1, 2, 'h', 'i'} // from a later version: a tag that may be skipped, a length, two bytes
	return r
}

// change makes a change to record r, based on the revision in it.
func change(r storage.Record, action string) storage.Change {
	return storage.Change{Record: r, Expect: r.Key.Revision, Entry: apikey.AuditEntry{
		At: at(1), Actor: "ann", Action: action, KeyID: r.Key.ID, Owner: r.Key.Owner,
	}}
}

// apply makes a change that must succeed, and returns the record afterwards.
func (e *env) apply(r storage.Record, action string) (storage.Record, error) {
	c := change(r, action)
	rev, err := e.s.Apply(e.ctx, c)
	if err != nil {
		return r, broken("%s of key %q at revision %d: %w", action, r.Key.ID, c.Expect, err)
	}
	if rev != c.Expect+1 {
		return r, broken("Apply returns the revision that it wrote, Expect+1 = %d; got %d", c.Expect+1, rev)
	}
	r.Key.Revision = rev
	return r, nil
}

// create makes a plain key, changed by edit.
func (e *env) create(id string, edit func(k *apikey.Key)) (storage.Record, error) {
	r := plain(id)
	if edit != nil {
		edit(&r.Key)
	}
	return e.apply(r, "create")
}

// revoke revokes a key and returns the record afterwards.
func (e *env) revoke(r storage.Record) (storage.Record, error) {
	r = r.Clone()
	r.Key.RevokedAt, r.Key.RevokedBy, r.Key.RevokeReason = at(7), "carol", "leaked"
	return e.apply(r, "revoke")
}

// get reads a key that must exist.
func (e *env) get(id string) (storage.Record, error) {
	r, err := e.s.Get(e.ctx, id)
	if err != nil {
		return r, broken("get %q: %w", id, err)
	}
	return r, nil
}

// want checks that an error matches a sentinel.
func want(what string, got, sentinel error) error {
	if !errors.Is(got, sentinel) {
		return broken("%s: got error %v, want %v", what, got, sentinel)
	}
	return nil
}

// same checks that two records are equal, ignoring the difference between an
// empty and a nil slice.
func same(what string, got, want storage.Record) error {
	g, w := canonical(got), canonical(want)
	if !reflect.DeepEqual(g, w) {
		return broken("%s:\n got %+v %v %x %x\nwant %+v %v %x %x", what, g.Key, g.Digests, g.Request, g.Extensions, w.Key, w.Digests, w.Request, w.Extensions)
	}
	return nil
}

func canonical(r storage.Record) storage.Record {
	r = storage.Normalize(r)
	k := &r.Key
	k.Scopes, k.Limits, k.Networks, k.Secrets = none(k.Scopes), none(k.Limits), none(k.Networks), none(k.Secrets)
	if len(k.Metadata) == 0 {
		k.Metadata = nil
	}
	r.Digests, r.Extensions = none(r.Digests), none(r.Extensions)
	return r
}

func none[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

// equal compares values without that exception.
func equal[T any](what string, got, want T) error {
	if !reflect.DeepEqual(got, want) {
		return broken("%s:\n got %+v\nwant %+v", what, got, want)
	}
	return nil
}

// ids returns the IDs of records, in order.
func ids(list []storage.Record) []string {
	out := []string{}
	for _, r := range list {
		out = append(out, r.Key.ID)
	}
	return out
}

// hostile are strings that have broken keys, patterns or collation somewhere.
// Some are prefixes of others.
var hostile = []string{
	"a", "aa", "a/", "a/b", "a:b", "a|b", "a\x01", "a\x1f", "a ", " a", "A", "aA", "á", "a\u0301", "ß", "SS", "ı", "I",
	"%", "a%", "_", "a_", "*", "a*", "?", "[a]", "\\", "\\a", "'", "a'--", "\"", "${a}", "{a}", "\r\n", "\t", ".", "..", "../a",
	"\u007f", "\u0080", "\u07ff", "\uffff", "\U0001f511", "\U0001f511\U0001f512", "\U0010ffff", "\ufeff", "\u202e",
	"0", "-1", "1e9", "null", "true", strings.Repeat("a", 255), strings.Repeat("a", 256),
}
