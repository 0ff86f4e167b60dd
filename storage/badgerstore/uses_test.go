package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// A total of format 3 has no newest hour, and one before it no route and no
// status; what comes after all that is for a later version.
func TestATotalOfTheVersionsBeforeIsRead(t *testing.T) {
	at, hour := time.UnixMicro(1_700_000_000_000_000).UTC(), time.Unix(1_699_999_200, 0).UTC()
	old := binary.AppendVarint(appendCounts(nil, apikey.Counts{Allowed: 7}), at.UnixMicro())
	old = str(str(old, "10.0.0.0/24"), "curl/8")
	want := total{UsageSecret: apikey.UsageSecret{Counts: apikey.Counts{Allowed: 7}, Last: apikey.LastUse{At: at, Network: "10.0.0.0/24", UserAgent: "curl/8"}}}
	if got, err := decodeTotal(old); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	want.Last.Route, want.Last.Status = "GET /things", 404
	format3 := binary.AppendUvarint(str(old, "GET /things"), 404)
	if got, err := decodeTotal(format3); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	want.hour, want.inHour, want.day, want.inDay, want.scopes = hour, apikey.Counts{Allowed: 3}, storage.Day(hour), apikey.Counts{Allowed: 5}, []string{"a", "b"}
	now := appendTotal(nil, &want)
	if got, err := decodeTotal(append(now, "later"...)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for n := len(old) + 1; n < len(now); n++ {
		if _, err := decodeTotal(now[:n]); n != len(format3) && !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v, want storage.ErrCorrupt", n, len(now), err)
		}
	}
}

// Rows that a program of format 3 wrote for this hour and this day are added to.
func TestADirectoryOfFormat3IsCountedOn(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	apply(t, s, changeOf("key", 0, nil))
	hour := time.Now().UTC().Truncate(time.Hour)
	before := total{UsageSecret: apikey.UsageSecret{Counts: apikey.Counts{Allowed: 7}, Last: apikey.LastUse{At: hour}}}
	if err := s.writeSynced([]row{
		{key: []byte{tableFormat}, value: []byte("3")},
		{key: totalKey("key", 1), value: format3Total(before)},
		{key: hourKey("key", hour, 1), value: appendCounts(nil, apikey.Counts{Allowed: 7})},
		{key: dayKey("key", storage.Day(hour)), value: appendCounts(nil, apikey.Counts{Allowed: 7})},
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	for n, at := range []time.Time{hour, hour.Add(time.Hour), hour, hour.Add(25 * time.Hour)} {
		d := storage.UsageDelta{KeyID: "key", Secret: 1, Hour: at, Counts: apikey.Counts{Allowed: uint64(1) << (4 * n)}}
		if err := s.AddUsage(t.Context(), []storage.UsageDelta{d}); err != nil {
			t.Fatal(err)
		}
		if u, err := s.Usage(t.Context(), "key", time.Time{}); err != nil || n == 0 && u.Hours[0].Counts != (apikey.Counts{Allowed: 7 + 1}) {
			t.Fatalf("a newest hour that has a row, too: %+v, %v", u.Hours, err)
		}
	}
	u, err := s.Usage(t.Context(), "key", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := []apikey.UsageHour{
		{Hour: hour, Secret: 1, Counts: apikey.Counts{Allowed: 7 + 1 + 1<<8}},
		{Hour: hour.Add(time.Hour), Secret: 1, Counts: apikey.Counts{Allowed: 1 << 4}},
		{Hour: hour.Add(25 * time.Hour), Secret: 1, Counts: apikey.Counts{Allowed: 1 << 12}},
	}
	if !slices.Equal(u.Hours, want) || u.Secrets[0].Counts != (apikey.Counts{Allowed: 7 + 1 + 1<<4 + 1<<8 + 1<<12}) {
		t.Errorf("got %+v\nwant %+v", u, want)
	}
	a, err := s.Activity(t.Context(), []string{"key"}, hour.AddDate(0, 0, -1))
	if err != nil {
		t.Fatal(err)
	}
	sum := apikey.Counts{}
	for _, d := range a[0].Days {
		sum.Add(d.Counts)
	}
	if sum != u.Secrets[0].Counts || !slices.IsSortedFunc(a[0].Days, func(a, b apikey.DayCounts) int { return a.Day.Compare(b.Day) }) {
		t.Errorf("days %+v, in all %v", a[0].Days, u.Secrets[0].Counts)
	}
}

// format3Total is a total row as format 3 has it.
func format3Total(t total) []byte {
	b := binary.AppendVarint(appendCounts(nil, t.Counts), t.Last.At.UnixMicro())
	return binary.AppendUvarint(str(str(str(b, t.Last.Network), t.Last.UserAgent), t.Last.Route), uint64(t.Last.Status))
}

// While a key is used, a flush writes one row of it.
func TestAFlushWritesOneRowASecret(t *testing.T) {
	s := openIn(t, t.TempDir())
	apply(t, s, changeOf("key", 0, nil))
	hour := time.Now().Truncate(time.Hour)
	for range 3 {
		d := storage.UsageDelta{KeyID: "key", Secret: 1, Hour: hour, Counts: apikey.Counts{Allowed: 1}, Scopes: []string{"things:read"}}
		if err := s.AddUsage(t.Context(), []storage.UsageDelta{d}); err != nil {
			t.Fatal(err)
		}
	}
	if hours, days, totals := rowsOf(s, tableHour), rowsOf(s, tableDay), rowsOf(s, tableTotal); len(hours)+len(days) != 0 || len(totals) != 1 {
		t.Errorf("%d rows of hours, %d of days, %d totals", len(hours), len(days), len(totals))
	}
	var sum total
	err := s.db.View(func(txn *badger.Txn) error {
		return read(txn, totalKey("key", 1), func(v []byte) (err error) { sum, err = decodeTotal(v); return err })
	})
	if err != nil || len(sum.scopes) != 1 {
		t.Errorf("the scopes of the hour are %q, error %v", sum.scopes, err)
	}

	// However many scopes are used in an hour, the row stays small, and all are told.
	for i := range 2 * apikey.MaxScopes {
		d := storage.UsageDelta{KeyID: "key", Secret: 1, Hour: hour, Counts: apikey.Counts{Allowed: 1}, Scopes: []string{fmt.Sprint("things:", i)}}
		if err := s.AddUsage(t.Context(), []storage.UsageDelta{d}); err != nil {
			t.Fatal(err)
		}
	}
	err = s.db.View(func(txn *badger.Txn) error {
		return read(txn, totalKey("key", 1), func(v []byte) (err error) { sum, err = decodeTotal(v); return err })
	})
	if u, uerr := s.Usage(t.Context(), "key", hour); err != nil || uerr != nil || len(sum.scopes) != apikey.MaxScopes || len(u.Scopes) != 2*apikey.MaxScopes+1 {
		t.Errorf("%d scopes in the row, %d told, errors %v, %v", len(sum.scopes), len(u.Scopes), err, uerr)
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
	l, err := s.List(t.Context(), storage.Query{})
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
		d := storage.UsageDelta{KeyID: "key", Secret: 1, Hour: hour, Counts: apikey.Counts{Allowed: 1}, Scopes: []string{"things:read"}}
		if err := s.AddUsage(t.Context(), []storage.UsageDelta{d}); err != nil {
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
