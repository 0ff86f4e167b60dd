package storage_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

func TestCheckChange(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	active := storage.Record{
		Key:     apikey.Key{ID: "k", Revision: 3, Secrets: make([]apikey.Secret, 1)},
		Digests: make([]storage.Digest, 1),
	}
	revoked := active.Clone()
	revoked.Key.RevokedAt, revoked.Key.RevokedBy, revoked.Key.RevokeReason = at, "ann", "leaked"

	type edit func(c *storage.Change)
	expect := func(n uint64) edit { return func(c *storage.Change) { c.Expect = n } }
	purge := func(c *storage.Change) { c.Delete = true }
	key := func(f func(k *apikey.Key)) edit { return func(c *storage.Change) { f(&c.Record.Key) } }
	type edits = []edit

	for _, tc := range []struct {
		rule    string
		current *storage.Record
		next    storage.Record
		edits   edits
		want    error
	}{
		{"a key is created", nil, active, edits{expect(0)}, nil},
		{"a key may be created revoked (an import)", nil, revoked, edits{expect(0)}, nil},
		{"a key that does not exist is not updated", nil, active, edits{expect(3)}, apikey.NotFound},
		{"a key that does not exist is not purged", nil, active, edits{expect(3), purge}, apikey.NotFound},
		{"a key that does not exist is not purged from revision 0", nil, active, edits{expect(0), purge}, apikey.NotFound},
		{"a key is updated", &active, active, edits{expect(3)}, nil},
		{"a key is revoked", &active, revoked, edits{expect(3)}, nil},
		{"a key is created once", &active, active, edits{expect(0)}, apikey.Conflict},
		{"what a later version wrote may be kept", &active, active, edits{expect(3), func(c *storage.Change) { c.Record.Extensions = []byte{1, 1, 'x'} }}, nil},
		{"and is nothing else", &active, active, edits{expect(3), func(c *storage.Change) { c.Record.Extensions = []byte("x") }}, apikey.InvalidArgument},
		{"nor what must be understood", &active, active, edits{expect(3), func(c *storage.Change) { c.Record.Extensions = []byte{2, 1, 'x'} }}, apikey.InvalidArgument},
		{"an older revision", &active, active, edits{expect(2)}, apikey.Conflict},
		{"a newer revision", &active, active, edits{expect(4)}, apikey.Conflict},
		{"revoked stays revoked", &revoked, active, edits{expect(3)}, apikey.InvalidState},
		{"from an older revision too", &revoked, active, edits{expect(1)}, apikey.InvalidState},
		{"and against a creation", &revoked, active, edits{expect(0)}, apikey.InvalidState},
		{"a revoked key may change otherwise", &revoked, revoked, edits{expect(3), key(func(k *apikey.Key) { k.Name = "x" })}, nil},
		{
			"in another zone and finer than a microsecond, it is the same instant", &revoked, revoked,
			edits{expect(3), key(func(k *apikey.Key) { k.RevokedAt = k.RevokedAt.Add(999).In(time.FixedZone("", 60)) })},
			nil,
		},
		{"not when it was revoked", &revoked, revoked, edits{expect(3), key(func(k *apikey.Key) { k.RevokedAt = at.Add(time.Microsecond) })}, apikey.InvalidState},
		{"nor by whom", &revoked, revoked, edits{expect(3), key(func(k *apikey.Key) { k.RevokedBy = "" })}, apikey.InvalidState},
		{"nor why", &revoked, revoked, edits{expect(3), key(func(k *apikey.Key) { k.RevokeReason = "" })}, apikey.InvalidState},
		{"a revoked key from an old revision", &revoked, revoked, edits{expect(2)}, apikey.Conflict},
		{"a revoked key is purged", &revoked, revoked, edits{expect(3), purge}, nil},
		{"whatever is said of it", &revoked, active, edits{expect(3), purge}, nil},
		{"an active key is not", &active, revoked, edits{expect(3), purge}, apikey.InvalidState},
		{"nor a revoked one from an old revision", &revoked, revoked, edits{expect(2), purge}, apikey.Conflict},
		{"a purge needs no secrets", &revoked, revoked, edits{expect(3), purge, key(func(k *apikey.Key) { k.Secrets = nil })}, nil},
		{"an ID", nil, active, edits{expect(0), key(func(k *apikey.Key) { k.ID = "" }), func(c *storage.Change) { c.Entry.KeyID = "" }}, apikey.InvalidArgument},
		{"an entry about the key", nil, active, edits{expect(0), func(c *storage.Change) { c.Entry.KeyID = "other" }}, apikey.InvalidArgument},
		{"a secret", nil, active, edits{expect(0), key(func(k *apikey.Key) { k.Secrets = nil }), func(c *storage.Change) { c.Record.Digests = nil }}, apikey.InvalidArgument},
		{"at most two", nil, active, edits{expect(0), func(c *storage.Change) {
			c.Record.Key.Secrets, c.Record.Digests = make([]apikey.Secret, 3), make([]storage.Digest, 3)
		}}, apikey.InvalidArgument},
		{"each with its digest", nil, active, edits{expect(0), func(c *storage.Change) { c.Record.Digests = make([]storage.Digest, 2) }}, apikey.InvalidArgument},
	} {
		c := storage.Change{Record: tc.next.Clone(), Entry: apikey.AuditEntry{KeyID: "k"}}
		for _, e := range tc.edits {
			e(&c)
		}
		if err := storage.CheckChange(tc.current, c); !errors.Is(err, tc.want) {
			t.Errorf("%s: got error %v, want %v", tc.rule, err, tc.want)
		}
	}
}

func TestNormalizeSharesNothingAndCutsTimes(t *testing.T) {
	in := sample()
	in.Key.CreatedAt = time.Now().In(time.FixedZone("", 3600)) // finer than a microsecond, monotonic
	in.Key.Secrets[0].EndsAt = in.Key.CreatedAt
	out := storage.Normalize(in)
	again, err := storage.DecodeRecord(storage.AppendRecord(nil, in))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(again, out, sameNetwork); d != "" {
		t.Errorf("Normalize and the encoding agree (-decoded +normalized):\n%s", d)
	}
	if out.Key.CreatedAt != out.Key.CreatedAt.UTC().Truncate(time.Microsecond) {
		t.Errorf("times are UTC microseconds: %#v", out.Key.CreatedAt)
	}
	in.Key.Scopes[0], in.Key.Metadata["a"], in.Digests[0].Pepper = "changed", "changed", 99
	if d := cmp.Diff(again, out, sameNetwork); d != "" {
		t.Errorf("Normalize copies (-before +after):\n%s", d)
	}
}

func TestCompare(t *testing.T) {
	at := time.Unix(100, 0)
	want := []storage.Position{
		{CreatedAt: at.Add(time.Microsecond), ID: "a"},
		{CreatedAt: at, ID: "\U0001f511"},
		{CreatedAt: at, ID: "ab"},
		{CreatedAt: at, ID: "a"},
		{CreatedAt: at, ID: "B"},
		{CreatedAt: at.Add(-time.Hour), ID: "z"},
		{ID: "z"},
	}
	newest := func(a, b storage.Position) int { return storage.Compare(storage.NewestFirst, a, b) }
	oldest := func(a, b storage.Position) int { return storage.Compare(storage.OldestFirst, a, b) }
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, newest)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("newest first, then the greater ID (-want +got):\n%s", d)
	}
	slices.Reverse(want)
	slices.SortFunc(got, oldest)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("oldest first is the reverse (-want +got):\n%s", d)
	}
}
