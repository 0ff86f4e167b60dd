package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// rowsOf returns all rows of a table.
func rowsOf(s *Store, table byte) (rows []string) {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	scan(txn, []byte{table}, nil, false, func(suffix []byte) bool { rows = append(rows, string(suffix)); return true })
	return rows
}

func formatOf(t *testing.T, s *Store) (found string) {
	t.Helper()
	err := s.db.View(func(txn *badger.Txn) error {
		return read(txn, []byte{tableFormat}, func(v []byte) error { found = string(v); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// downgrade makes a directory what format 1 has of it.
func downgrade(t *testing.T, s *Store) {
	t.Helper()
	for _, table := range []byte{tableByName, tableByTerm} {
		for part := range slices.Chunk(rowsOf(s, table), 500) {
			var rows []row
			for _, suffix := range part {
				rows = append(rows, row{key: append([]byte{table}, suffix...), remove: true})
			}
			if err := s.writeSynced(rows); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.writeSynced([]row{{key: []byte{tableFormat}, value: []byte("1")}}); err != nil {
		t.Fatal(err)
	}
}

// The directory was written by the last version that knew format 1 only.
func TestADirectoryOfFormat1IsBroughtUpToDate(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/format1")); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	s, err := Open(dir, Options{Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "keys=3") {
		t.Errorf("the log tells of three keys that were indexed: %s", &said)
	}
	for range 2 { // then after another restart
		for q, want := range map[storage.Query]string{
			{}: "staging worker, Billing, production-backend", {Order: storage.OldestFirst}: "production-backend, Billing, staging worker",
			{Order: storage.ByName}: "Billing, production-backend, staging worker", {Search: "b", Owner: "acme"}: "Billing, production-backend",
			{Search: "KEY"}: "staging worker, Billing, production-backend", {Search: "bill", Owner: "other"}: "",
			{UnusedSince: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)}: "staging worker, production-backend",
		} {
			l, err := s.List(t.Context(), q)
			var names []string
			for _, r := range l.Records {
				names = append(names, r.Key.Name)
			}
			if got := strings.Join(names, ", "); err != nil || got != want {
				t.Errorf("list %+v: got %s, want %s, error %v", q, got, want, err)
			}
		}
		if got := formatOf(t, s); got != "4" {
			t.Errorf("the format is %s, want 4", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openIn(t, dir)
	}
	trail, err := s.Audit(t.Context(), apikey.AuditQuery{})
	if err != nil || len(trail) != 6 {
		t.Errorf("%d audit entries, want the 6 that were there, error %v", len(trail), err)
	}
}

// At its stall Badger writes no table until some are compacted.
func TestADirectoryWithAsManyTablesAsMayLieOpens(t *testing.T) {
	dir := t.TempDir()
	tables := 0
	for n := range 5 {
		s := openIn(t, dir)
		tables = s.db.Levels()[0].NumTables
		apply(t, s, changeOf(fmt.Sprintf("key-%d", n), 0, nil))
		if n < 4 {
			if err := s.Close(); err != nil { // which makes a table
				t.Fatal(err)
			}
		}
	}
	killed := t.TempDir() // as it is when the process dies: the last change is in the log
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s, err := open(killed, quiet, func(o *badger.Options) { *o = o.WithNumLevelZeroTables(tables - 1).WithNumLevelZeroTablesStall(tables) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "key-4"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// An upgrade that writes more tables than Badger lets lie goes on while they are compacted.
func TestALargeUpgradeWaitsForNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenTuned(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		apply(t, s, changeOf(fmt.Sprintf("key-%03d", i), 0, func(k *apikey.Key) {
			k.Name = fmt.Sprintf("%03d", i) + " of words: a be see do an ear for go high in just key long man no one pay quo run so"
		}))
	}
	names := rowsOf(s, tableByName)
	downgrade(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = open(dir, quiet, func(o *badger.Options) {
		*o = o.WithMemTableSize(256 << 10).WithValueThreshold(16 << 10).WithNumLevelZeroTables(1).WithNumLevelZeroTablesStall(2)
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(rowsOf(s, tableByName), names) {
		t.Error("rows are missing, or too many")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAnUpgradeThatIsBrokenOffIsDoneAgain(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenTuned(dir, quiet) // whose transactions are small
	if err != nil {
		t.Fatal(err)
	}
	const keys = 400
	for i := range keys {
		apply(t, s, changeOf(fmt.Sprintf("key-%03d", i), 0, func(k *apikey.Key) {
			k.Name, k.CreatedAt = fmt.Sprintf("the name of key number %d", i), time.Unix(int64(i), 0)
		}))
	}
	names, terms := rowsOf(s, tableByName), rowsOf(s, tableByTerm)
	downgrade(t, s)

	good, broken := s.sync, errors.New("the machine stops")
	for stop := 1; ; stop++ {
		syncs := 0
		s.sync = func() error {
			if syncs++; syncs == stop {
				return broken
			}
			return good()
		}
		err := s.upgrade(1)
		if err == nil {
			if stop < 4 {
				t.Errorf("the upgrade took %d syncs, too few to be broken off in between", stop-1)
			}
			break
		}
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if got := formatOf(t, s); stop == 2 && got != "1" {
			t.Errorf("broken off in the middle, the directory is of format %s", got)
		}
		if stop == 2 {
			if n := len(rowsOf(s, tableByName)); n == 0 || n == len(names) {
				t.Errorf("broken off in the middle, %d of %d rows are there", n, len(names))
			}
			if err := s.Close(); err != nil { // as a new start finds it
				t.Fatal(err)
			}
			if s, err = OpenTuned(dir, quiet); err != nil {
				t.Fatal(err)
			}
			good = s.sync
			if !slices.Equal(rowsOf(s, tableByName), names) || !slices.Equal(rowsOf(s, tableByTerm), terms) {
				t.Error("after the next start rows are missing, or too many")
			}
			downgrade(t, s)
		}
	}
	if !slices.Equal(rowsOf(s, tableByName), names) || !slices.Equal(rowsOf(s, tableByTerm), terms) {
		t.Error("rows are missing, or too many")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAnUpgradePassesOverWhatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	for i, id := range []string{"one", "two", "three"} {
		apply(t, s, changeOf(id, 0, func(k *apikey.Key) { k.Name, k.CreatedAt = "name "+id, time.Unix(int64(i), 0) }))
	}
	downgrade(t, s)
	if err := s.Damage("two"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	if l, err := s.List(t.Context(), storage.Query{Search: "name", Order: storage.ByName}); err != nil || len(l.Records) != 2 {
		t.Errorf("%d records, want the two that are whole, error %v", len(l.Records), err)
	}
}

// A directory of format 2 has hours and no days.
func TestTheDaysOfFormat2AreAddedUp(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	var ids []string
	for i := range 3 {
		id := fmt.Sprintf("key-%d", i)
		ids = append(ids, id)
		apply(t, s, changeOf(id, 0, nil))
		var used []storage.UsageDelta
		for h := range 24 * 30 {
			d := storage.UsageDelta{KeyID: id, Secret: uint32(1 + h%2), Hour: today.Add(time.Duration(h%7-h) * time.Hour)}
			d.Counts.Allowed, d.Counts.Scope = uint64(h+i), uint64(h%5)
			used = append(used, d)
		}
		if err := s.AddUsage(t.Context(), used); err != nil {
			t.Fatal(err)
		}
	}
	activity := func() []apikey.Activity {
		t.Helper()
		a, err := s.Activity(t.Context(), ids, today.AddDate(0, 0, -40))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	before := activity()
	if n := len(before[2].Days); n < 30 {
		t.Fatalf("%d days", n)
	}
	rows := []row{{key: []byte{tableFormat}, value: []byte("2")}, {key: dayKey("key-1", today.AddDate(0, 0, -3)), value: appendCounts(nil, apikey.Counts{Allowed: 99})}}
	for i, suffix := range rowsOf(s, tableDay) {
		if i%2 == 0 { // as when an upgrade was broken off, and an older program counted on
			rows = append(rows, row{key: append([]byte{tableDay}, suffix...), remove: true})
		}
	}
	if err := s.writeSynced(rows); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	if after := activity(); !reflect.DeepEqual(after, before) {
		t.Errorf("after the upgrade:\n%v\nwant\n%v", after, before)
	}
	if got := formatOf(t, s); got != "4" {
		t.Errorf("the format is %s, want 4", got)
	}
	it := s.db.NewTransaction(false)
	defer it.Discard()
	item, err := it.Get(dayKey("key-1", today.AddDate(0, 0, -3)))
	if err != nil || item.ExpiresAt() == 0 {
		t.Errorf("a day that is kept for good: %v", err)
	}
}
