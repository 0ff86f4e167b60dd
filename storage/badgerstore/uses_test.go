package badgerstore

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// A total of the version before has no route and no status; what comes after
// them is for a later one.
func TestATotalOfTheVersionBeforeIsRead(t *testing.T) {
	at := time.UnixMicro(1_700_000_000_000_000).UTC()
	old := binary.AppendVarint(appendCounts(nil, apikey.Counts{7}), at.UnixMicro())
	old = str(str(old, "10.0.0.0/24"), "curl/8")
	want := apikey.UsageSecret{Counts: apikey.Counts{7}, Last: apikey.LastUse{At: at, Network: "10.0.0.0/24", UserAgent: "curl/8"}}
	if got, err := decodeTotal(old); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	want.Last.Route, want.Last.Status = "GET /things", 404
	now := appendTotal(nil, want)
	if got, err := decodeTotal(append(now, "later"...)); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for n := len(old) + 1; n < len(now); n++ {
		if _, err := decodeTotal(now[:n]); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v, want storage.ErrCorrupt", n, len(now), err)
		}
	}
}

// In a directory that is older, scopes are counted since it was first opened by
// this version, and not anew with each start.
func TestAnOlderDirectoryTellsSinceWhenScopesAreCounted(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/format1")); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Truncate(time.Second)
	s := openIn(t, dir)
	l, err := s.List(t.Context(), apikey.Query{})
	if err != nil || len(l.Records) == 0 {
		t.Fatal(l, err)
	}
	id := l.Records[0].Key.ID
	since := func() time.Time {
		u, err := s.Usage(t.Context(), id, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return u.ScopesSince
	}
	first := since()
	if first.Before(before) || first.After(time.Now()) || !l.Records[0].Key.CreatedAt.Before(first) {
		t.Errorf("scopes of a key of %v are counted since %v", l.Records[0].Key.CreatedAt, first)
	}
	// The second start is a year later, as far as anybody can tell.
	first = first.AddDate(-1, 0, 0)
	if err := s.db.Update(func(txn *badger.Txn) error { return txn.Set([]byte{tableBegan}, appendHour(nil, first)) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	if got := since(); !got.Equal(first) {
		t.Errorf("after a restart scopes are counted since %v, before it was %v", got, first)
	}
}

// A scope's row is written once an hour, not with each flush.
func TestAScopeIsWrittenOnceAnHour(t *testing.T) {
	s := openIn(t, t.TempDir())
	apply(t, s, changeOf("key", 0, nil))
	version := func() (v uint64) {
		err := s.db.View(func(txn *badger.Txn) error {
			item, err := txn.Get(scopeKey("key", "things:read"))
			if err == nil {
				v = item.Version()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	add := func(hour time.Time) {
		t.Helper()
		d := apikey.UsageDelta{KeyID: "key", Secret: 1, Hour: hour, Counts: apikey.Counts{1}, Scopes: []string{"things:read"}}
		if err := s.AddUsage(t.Context(), []apikey.UsageDelta{d}); err != nil {
			t.Fatal(err)
		}
	}
	hour := time.Now().Truncate(time.Hour)
	add(hour)
	first := version()
	add(hour)
	add(hour.Add(-time.Hour))
	if version() != first {
		t.Error("the row was written again for the same hour, or for one before")
	}
	add(hour.Add(time.Hour))
	if version() == first {
		t.Error("the row was not written for a new hour")
	}
}
