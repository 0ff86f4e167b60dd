package badgerstore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dgraph-io/badger/v4"
	"pgregory.net/rapid"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Strings of any bytes, also those that no other store takes.
var anyBytes = []string{
	"\x00", "a\x00", "a\x00b", "a", "ab", "\xff", "\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", "a\xff", "\x01a", "\x02ab",
	"\x80", "!badger!head", strings.Repeat("a", 127), strings.Repeat("a", 128), strings.Repeat("\xff", 300),
}

func TestStringsNeverMeet(t *testing.T) {
	s := openIn(t, t.TempDir())
	takes := slices.DeleteFunc(slices.Clone(anyBytes), func(s string) bool { return !utf8.ValidString(s) || strings.Contains(s, "\x00") })
	for i, h := range takes {
		apply(t, s, changeOf(h, 0, func(k *apikey.Key) { k.Owner, k.Environment, k.CreatedAt = h, h, time.Unix(int64(i), 0) }))
		if err := s.AddUsage(t.Context(), []storage.UsageDelta{{KeyID: h, Secret: uint32(i), Counts: apikey.Counts{Allowed: 1}}}); err != nil {
			t.Fatal(err)
		}
		if err := s.SaveWindows(t.Context(), h, []byte(h), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for i, h := range takes {
		want = slices.Insert(want, 0, h)
		if r, err := s.Get(t.Context(), h); err != nil || r.Key.ID != h {
			t.Errorf("get %q: got %q, error %v", h, r.Key.ID, err)
		}
		for _, q := range []storage.Query{{Owner: h}, {Environment: h}, {Owner: h, Environment: h}} {
			if list, err := s.List(t.Context(), q); err != nil || len(list.Records) != 1 || list.Records[0].Key.ID != h {
				t.Errorf("list %+q: %d records, error %v", q.Owner+"|"+q.Environment, len(list.Records), err)
			}
		}
		for _, q := range []apikey.AuditQuery{{KeyID: h}, {Owner: h}} {
			if trail, err := s.Audit(t.Context(), q); err != nil || len(trail) != 1 || trail[0].KeyID != h {
				t.Errorf("audit of %q: %d entries, error %v", h, len(trail), err)
			}
		}
		if u, err := s.Usage(t.Context(), h, time.Time{}); err != nil || len(u.Hours) != 1 || len(u.Secrets) != 1 || u.Secrets[0].Secret != uint32(i) {
			t.Errorf("usage of %q: %+v, error %v", h, u, err)
		}
		if b, err := s.LoadWindows(t.Context(), h); err != nil || string(b) != h {
			t.Errorf("windows of %q: %q, error %v", h, b, err)
		}
	}
	list, err := s.List(t.Context(), storage.Query{})
	var got []string
	for _, r := range list.Records {
		got = append(got, r.Key.ID)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("list: got %q, want %q, error %v", got, want, err)
	}
}

func TestNoPrefixReachesIntoAnother(t *testing.T) {
	text := rapid.OneOf(rapid.SampledFrom(anyBytes), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		a, b, c, d := text.Draw(t, "a"), text.Draw(t, "b"), text.Draw(t, "c"), text.Draw(t, "d")
		if a != b && (bytes.HasPrefix(hourPrefix(a), hourPrefix(b)) || bytes.HasPrefix(totalPrefix(a), totalPrefix(b))) {
			t.Fatalf("the rows of %q are within those of %q", a, b)
		}
		if (a != c || b != d) && bytes.HasPrefix(placePrefix(tableByTime, a, b), placePrefix(tableByTime, c, d)) {
			t.Fatalf("the listing of %q and %q is within that of %q and %q", a, b, c, d)
		}
		if a != c && a != "" && c != "" && bytes.HasPrefix(termPrefix(a, storage.Fold(b)), termPrefix(c, "")) {
			t.Fatalf("the terms of %q are within those of %q", a, c)
		}
	})
}

func TestARowOfAnIndexThatIsStaleShowsNothing(t *testing.T) {
	s := openIn(t, t.TempDir())
	apply(t, s, changeOf("key", 0, func(k *apikey.Key) { k.Name = "billing" }))
	at := func(seconds int64, name string) storage.Position {
		return storage.Position{CreatedAt: time.Unix(seconds, 0), Name: name, ID: "key"}
	}
	place := func(table byte, owner string, p storage.Position) row {
		return row{key: append(placePrefix(table, owner, ""), placeSuffix(table, p)...)}
	}
	term := func(owner, term, environment string) row {
		return row{key: append(str(append(termPrefix(owner, term), 0), environment), "key"...)}
	}
	err := s.db.Update(func(txn *badger.Txn) error {
		return writeAll(txn, []row{
			place(tableByTime, "stranger", at(1, "")), place(tableByTime, "acme", at(9, "")),
			place(tableByName, "stranger", at(0, "billing")), place(tableByName, "acme", at(0, "old name")), place(tableByName, "acme", at(0, "Billing")),
			term("stranger", "billing", "live"), term("stranger", "key", "live"), term("acme", "old", "live"), term("acme", "billing", "test"),
			{key: append(termPrefix("acme", "billing"), 0)},
			{key: append(termPrefix("acme", "billing"), 0, 0xff)}, // damaged
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, bounds := range []bounds{usualBounds, {terms: 100, matches: 0, records: 100}} { // through the index, and past it
		s.bounds = bounds
		for q, want := range map[storage.Query]int{
			{Owner: "stranger"}: 0, {Owner: "stranger", Search: "bill"}: 0, {Owner: "stranger", Search: "key"}: 0,
			{Owner: "acme"}: 1, {Owner: "acme", Search: "bill"}: 1, {Owner: "acme", Search: "old"}: 0,
			{Owner: "acme", Search: "bill", Environment: "test"}: 0,
		} {
			for _, q.Order = range []storage.Order{storage.NewestFirst, storage.OldestFirst, storage.ByName} {
				if list, err := s.List(t.Context(), q); err != nil || len(list.Records) != want {
					t.Errorf("list %+v: %d keys, want %d, error %v", q, len(list.Records), want, err)
				}
			}
		}
	}
}

func TestACallLooksAtABoundedNumberOfKeys(t *testing.T) {
	s := openIn(t, t.TempDir())
	s.bounds = bounds{terms: 6, matches: 3, records: 4}
	for i := range 20 {
		apply(t, s, changeOf(fmt.Sprintf("key-%02d", i), 0, func(k *apikey.Key) { k.Name, k.CreatedAt = fmt.Sprint("name ", i), time.Unix(int64(i), 0) }))
	}
	for what, q := range map[string]storage.Query{
		"a filter":              {Plan: "none"},
		"a state":               {State: apikey.Revoked},
		"unused":                {UnusedSince: time.Unix(100, 0), Plan: "none"},
		"a term of many":        {Search: "name", Plan: "none"},
		"a term of many others": {Search: "key", Environment: "test", Owner: "acme", Plan: "none"},
	} {
		calls := 0
		for calls < 100 {
			calls++
			l, err := s.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if q.After = l.Next; q.After.IsZero() {
				break
			}
			if want := fmt.Sprintf("key-%02d", 20-4*calls); q.After.ID != want {
				t.Fatalf("%s: call %d goes on after %s, want %s: four records were looked at", what, calls, q.After.ID, want)
			}
		}
		if want := 5; calls != want && q.Environment == "" {
			t.Errorf("%s: %d calls, want %d", what, calls, want)
		}
	}
	l, err := s.List(t.Context(), storage.Query{Search: "name 1"}) // of 11 keys
	if err != nil || len(l.Records) != 4 || l.Next.IsZero() {
		t.Errorf("a term of many: %d records, next %+v, error %v; want what four records have, and more to come", len(l.Records), l.Next, err)
	}
	l, err = s.List(t.Context(), storage.Query{Search: "name 7"}) // of one, which the first four are not
	if err != nil || len(l.Records) != 1 || !l.Next.IsZero() {
		t.Errorf("a term of few: %d records, next %+v, error %v; want all at once", len(l.Records), l.Next, err)
	}
}

func TestAKeyHasItsRowsInEveryIndexAndNoneOnceItIsPurged(t *testing.T) {
	s := openIn(t, t.TempDir())
	apply(t, s, changeOf("key", 0, func(k *apikey.Key) { k.Name = "production back-end" }))
	for rev, edit := range []func(k *apikey.Key){
		func(k *apikey.Key) { k.Owner = "other" },
		func(k *apikey.Key) { k.Name = "another name" },
		func(k *apikey.Key) { k.Environment = "test" },
		func(k *apikey.Key) { k.CreatedAt = time.Unix(7, 0) },
		revoked,
	} {
		if got, want := countIndexRows(s), 4+4+2*(1+words(t, s)); got != want {
			t.Errorf("%d rows at revision %d, want %d", got, rev+1, want)
		}
		apply(t, s, changeOf("key", uint64(rev+1), edit))
	}
	c := changeOf("key", 6, revoked)
	c.Delete = true
	apply(t, s, c)
	if n := countIndexRows(s); n != 0 {
		t.Errorf("%d rows after the purge, want none", n)
	}
}

// countIndexRows counts the rows of all indexes of records.
func countIndexRows(s *Store) (n int) {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	for _, table := range []byte{tableByTime, tableByName, tableByTerm} {
		scan(txn, []byte{table}, nil, false, func([]byte) bool { n++; return true })
	}
	return n
}

func words(t *testing.T, s *Store) int {
	t.Helper()
	r, err := s.Get(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	return len(strings.FieldsFunc(r.Key.Name, func(r rune) bool { return r == ' ' || r == '-' }))
}

// Badger's collection of the value log has brought deleted values back.
func TestTheValueLogStaysEmpty(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	apply(t, s, changeOf("key", 0, func(k *apikey.Key) { k.Metadata = map[string]string{"large": noise(maxValue - 1000)} }))
	if err := s.SaveWindows(t.Context(), "x", make([]byte, maxValue), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // which cuts the files to their length
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("%d value logs, error %v", len(logs), err)
	}
	for _, name := range logs {
		if info, err := os.Stat(name); err != nil || info.Size() > 20 { // its header
			t.Errorf("%s has %d bytes, error %v", filepath.Base(name), info.Size(), err)
		}
	}
}

func TestADamagedAuditEntryHidesNoOther(t *testing.T) {
	s := openIn(t, t.TempDir())
	for i := range uint64(3) {
		apply(t, s, changeOf("key", i, nil))
	}
	err := s.db.Update(func(txn *badger.Txn) error { return txn.Set(auditKey(2), []byte("damaged")) })
	if err != nil {
		t.Fatal(err)
	}
	trail, err := s.Audit(t.Context(), apikey.AuditQuery{})
	if err != nil || len(trail) != 2 || trail[0].Seq != 3 || trail[1].Seq != 1 {
		t.Errorf("got %+v, error %v", trail, err)
	}
}

func TestADamagedUsageRowCountsAsZero(t *testing.T) {
	s := openIn(t, t.TempDir())
	apply(t, s, changeOf("key", 0, nil))
	d := []storage.UsageDelta{{KeyID: "key", Secret: 1, Hour: time.Unix(0, 0), Counts: apikey.Counts{Allowed: 1}}}
	for _, bad := range []string{"", "\xff", "\x0a\x01", "\x01\x05\x00\xff", "\x01\x05\x00\x00\x00\x09"} {
		err := s.db.Update(func(txn *badger.Txn) error {
			return writeAll(txn, []row{{key: hourKey("key", time.Unix(0, 0), 1), value: []byte(bad)}, {key: totalKey("key", 1), value: []byte(bad)}})
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Usage(t.Context(), "key", time.Time{}); err != nil {
			t.Errorf("row %q: %v", bad, err)
		}
		if err := s.AddUsage(t.Context(), d); err != nil {
			t.Errorf("row %q: %v", bad, err)
		}
		if u, err := s.Usage(t.Context(), "key", time.Time{}); err != nil || len(u.Secrets) != 1 || u.Secrets[0].Counts != (apikey.Counts{Allowed: 1}) {
			t.Errorf("row %q: %+v, %v, want what was counted since", bad, u.Secrets, err)
		}
	}
}

func TestHourlyRowsAreKeptForTheRetentionAndTotalsForGood(t *testing.T) {
	s := openIn(t, t.TempDir())
	apply(t, s, changeOf("key", 0, nil))
	before := time.Now()
	for _, hour := range []time.Time{before, before.Add(time.Hour)} { // a row of its own has an hour that is over
		if err := s.AddUsage(t.Context(), []storage.UsageDelta{{KeyID: "key", Secret: 1, Hour: hour, Counts: apikey.Counts{Allowed: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	err := s.db.View(func(txn *badger.Txn) error {
		hour, err := txn.Get(hourKey("key", before.Truncate(time.Hour), 1))
		if err != nil {
			return err
		}
		if end := time.Unix(int64(hour.ExpiresAt()), 0); end.Before(before.Add(storage.UsageRetention)) || hour.ExpiresAt() == 0 {
			t.Errorf("an hour is dropped at %v, counted at %v: it is kept for %v, and not for ever", end, before, storage.UsageRetention)
		}
		total, err := txn.Get(totalKey("key", 1))
		if err == nil && total.ExpiresAt() != 0 {
			t.Error("a total is dropped after a while")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestABatchOfUsageTooLargeForOneTransactionIsSplit(t *testing.T) {
	s := openIn(t, t.TempDir())
	apply(t, s, changeOf("key", 0, nil))
	agent := noise(20 << 10)
	batch := make([]storage.UsageDelta, 300) // 6 MiB; a transaction holds 0.6
	for i := range batch {
		batch[i] = storage.UsageDelta{
			KeyID: "key", Secret: uint32(i), Hour: time.Unix(0, 0), Counts: apikey.Counts{Allowed: 1},
			Last: apikey.LastUse{At: time.Unix(5, 0), UserAgent: agent},
		}
	}
	if err := s.AddUsage(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	u, err := s.Usage(t.Context(), "key", time.Time{})
	if err != nil || len(u.Secrets) != len(batch) {
		t.Fatalf("%d secrets, error %v", len(u.Secrets), err)
	}
	for _, x := range u.Secrets {
		if x.Counts != (apikey.Counts{Allowed: 1}) {
			t.Fatalf("secret %d was counted as %v: each delta counts once", x.Secret, x.Counts)
		}
	}
}
