package pgstore_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// names lists all pages and returns the names.
func names(t testing.TB, s *pgstore.Store, q storage.Query) []string {
	t.Helper()
	all := []string{}
	for {
		l, err := s.List(t.Context(), q)
		must(t, err)
		for _, r := range l.Records {
			all = append(all, r.Key.Name)
		}
		if q.After = l.Next; q.After.IsZero() {
			return all
		}
	}
}

func listsNames(t testing.TB, s *pgstore.Store, when string, q storage.Query, want ...string) {
	t.Helper()
	if got := names(t, s, q); !slices.Equal(got, want) {
		t.Errorf("%s: list %+v: got %q, want %q", when, q, got, want)
	}
}

// older is a program that knows migrations 1 and 2 only: what it sends.
type older struct{ pool *pgxpool.Pool }

func (o older) create(t testing.TB, r storage.Record) {
	t.Helper()
	k := &r.Key
	k.Revision = 1
	_, err := o.pool.Exec(t.Context(), `INSERT INTO latchkey.keys (id, owner, environment, created_at, revision, revoked_at, record)
		VALUES ($1, $2, $3, $4, 1, NULL, $5)`, k.ID, k.Owner, k.Environment, k.CreatedAt, storage.AppendRecord(nil, r))
	must(t, err)
}

func (o older) update(t testing.TB, r storage.Record) {
	t.Helper()
	k := &r.Key
	k.Revision++
	tag, err := o.pool.Exec(t.Context(), `UPDATE latchkey.keys SET owner = $2, environment = $3, created_at = $4, revision = $5, record = $6
		WHERE id = $1 AND revision = $5 - 1`, k.ID, k.Owner, k.Environment, k.CreatedAt, int64(k.Revision), storage.AppendRecord(nil, r))
	must(t, err)
	if tag.RowsAffected() != 1 {
		t.Fatalf("the older program updated %d rows", tag.RowsAffected())
	}
}

func record(id, name string) storage.Record {
	return changeOf(id, 0, func(k *apikey.Key) { k.Name = name }).Record
}

func TestKeysOfInstancesThatAreOlderAreFound(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	old := older{s.Pool()}
	old.create(t, record("a", "Alpha back"))
	apply(t, s, changeOf("b", 0, func(k *apikey.Key) { k.Name = "beta back" }))
	listsNames(t, s, "created by an older instance", storage.Query{Search: "back", Order: storage.ByName}, "Alpha back", "beta back")

	// It changes what this one wrote.
	r, err := s.Get(t.Context(), "b")
	must(t, err)
	r.Key.Name, r.Key.Owner = "zeta front", "other"
	old.update(t, r)
	listsNames(t, s, "renamed by an older instance", storage.Query{Order: storage.ByName}, "Alpha back", "zeta front")
	listsNames(t, s, "renamed by an older instance", storage.Query{Search: "back"}, "Alpha back")
	listsNames(t, s, "renamed by an older instance", storage.Query{Search: "front", Owner: "other"}, "zeta front")
	listsNames(t, s, "renamed by an older instance", storage.Query{Search: "front", Owner: "acme"})

	// This one changes what it wrote before it has caught up.
	old.create(t, record("c", "gamma"))
	apply(t, s, changeOf("c", 1, func(k *apikey.Key) { k.Name = "delta" }))
	if n := count(t, s.Pool(), `SELECT count(*) FROM latchkey.keys WHERE behind`); n != 0 {
		t.Errorf("%d keys are behind", n)
	}
	old.create(t, record("d", "epsilon"))
	apply(t, s, changeOf("d", 1, func(k *apikey.Key) { k.Name, k.Plan = "epsilon", "pro" }))
	listsNames(t, s, "changed, but not its name", storage.Query{Search: "epsilon", Order: storage.ByName}, "epsilon")
	apply(t, s, changeOf("d", 2, func(k *apikey.Key) { k.Name, k.Plan = "epsilon", "free" }))
	listsNames(t, s, "changed again", storage.Query{Search: "epsilon", Order: storage.ByName}, "epsilon")
	listsNames(t, s, "after both", storage.Query{Search: "gamma"})
	listsNames(t, s, "after both", storage.Query{Search: "delta"}, "delta")
}

func TestNamesOfAnOlderSchemaAreWrittenWhenItIsMigrated(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	for _, name := range []string{"0001_keys.sql", "0002_limits.sql"} {
		text, err := fs.ReadFile(pgstore.Migrations(), name)
		must(t, err)
		_, err = pool.Exec(t.Context(), `CREATE SCHEMA IF NOT EXISTS latchkey; `+string(text), pgx.QueryExecModeSimpleProtocol)
		must(t, err)
	}
	const n = 1300 // more than two batches
	for i := range n {
		older{pool}.create(t, record(fmt.Sprintf("key-%04d", i), fmt.Sprintf("Name %04d", i)))
	}
	_, err := pool.Exec(t.Context(), `UPDATE latchkey.keys SET revision = 2, record = set_byte(record, 9, get_byte(record, 9) # 1) WHERE id = 'key-0003'`)
	must(t, err)

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := pgstore.Migrate(t.Context(), pool, pgstore.Options{Logger: quiet}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(t, pool, `SELECT count(*) FROM latchkey.keys WHERE behind`); n != 0 {
		t.Errorf("%d keys are behind", n)
	}
	s := open(t, pool.Config().ConnString(), pgstore.Options{Logger: quiet})
	if got := names(t, s, storage.Query{Order: storage.ByName, Limit: 1000}); len(got) != n-1 || !slices.IsSorted(got) {
		t.Errorf("%d keys are listed by name, want all but the damaged one", len(got))
	}
	listsNames(t, s, "migrated", storage.Query{Search: "0007"}, "Name 0007")
	listsNames(t, s, "migrated", storage.Query{Search: "0003"})
}

func TestCatchingUpThatIsBrokenOffGoesOn(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range 600 {
		older{s.Pool()}.create(t, record(fmt.Sprintf("key-%04d", i), fmt.Sprintf("Name %04d", i)))
	}
	if more, err := s.CatchUpOnce(t.Context()); err != nil || !more {
		t.Fatalf("more %v, error %v", more, err)
	}
	if n := count(t, s.Pool(), `SELECT count(*) FROM latchkey.keys WHERE behind`); n != 100 {
		t.Errorf("after a batch %d of 600 keys are behind, want 100", n)
	}
	open(t, s.Pool().Config().ConnString(), pgstore.Options{Logger: quiet}) // the next start
	if n := count(t, s.Pool(), `SELECT count(*) FROM latchkey.keys WHERE behind`); n != 0 {
		t.Errorf("after the next start %d keys are behind", n)
	}
	listsNames(t, s, "caught up", storage.Query{Search: "name 0599"}, "Name 0599")
}

// Writers of both kinds, readers who catch up, and in the end every index says
// what the records say.
func TestInstancesOfBothKindsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	old := older{s.Pool()}
	const keys, rounds = 12, 10
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			r := record(fmt.Sprint("key", i), "first")
			old.create(t, r)
			r.Key.Revision = 1
			for n := range rounds {
				r.Key.Name = fmt.Sprintf("name %d of key %02d", n, i)
				if n%2 == 0 {
					old.update(t, r)
					r.Key.Revision++
					continue
				}
				rev, err := s.Apply(t.Context(), storage.Change{Record: r, Expect: r.Key.Revision, Entry: apikey.AuditEntry{KeyID: r.Key.ID}})
				if err != nil {
					t.Error(err)
					return
				}
				r.Key.Revision = rev
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			for range 20 {
				if _, err := s.List(t.Context(), storage.Query{Search: "name", Order: storage.ByName}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range keys {
		want := fmt.Sprintf("name %d of key %02d", rounds-1, i)
		listsNames(t, s, "in the end", storage.Query{Search: strings.ToUpper(want)}, want)
	}
	if got := names(t, s, storage.Query{Search: "name", Order: storage.ByName}); len(got) != keys || !slices.IsSorted(got) {
		t.Errorf("in the end %q are listed", got)
	}
	if n := count(t, s.Pool(), `SELECT count(*) FROM latchkey.keys AS k WHERE behind OR listed <> revision
		OR NOT EXISTS (SELECT FROM latchkey.words AS w WHERE w.key_id = k.id AND w.owner = k.owner AND w.environment = k.environment)`); n != 0 {
		t.Errorf("%d keys have no rows by which they are found", n)
	}
}

func TestWordsLeaveWithTheirNameAndTheirKey(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	has := func(when string, want ...string) {
		t.Helper()
		rows, err := s.Pool().Query(t.Context(), `SELECT owner || '/' || environment || '/' || convert_from(word, 'UTF8') FROM latchkey.words ORDER BY word`)
		must(t, err)
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(t, err)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
	apply(t, s, changeOf("key", 0, func(k *apikey.Key) { k.Name = "Production back-end" }))
	has("created", "acme/live/back-end", "acme/live/end", "acme/live/key", "acme/live/production back-end")
	apply(t, s, changeOf("key", 1, func(k *apikey.Key) { k.Name = "back-end" }))
	has("renamed", "acme/live/back-end", "acme/live/end", "acme/live/key")
	const written = `SELECT max(xmin::text::bigint) FROM latchkey.words` // the newest transaction
	before := count(t, s.Pool(), written)
	apply(t, s, changeOf("key", 2, func(k *apikey.Key) { k.Name, k.Plan = "back-end", "pro" }))
	if n := count(t, s.Pool(), written); n != before {
		t.Errorf("a change that leaves the name writes its words again")
	}
	apply(t, s, changeOf("key", 3, func(k *apikey.Key) { k.Name, k.Owner = "back-end", "other" }))
	has("given to another", "other/live/back-end", "other/live/end", "other/live/key")
	apply(t, s, changeOf("key", 4, func(k *apikey.Key) { k.Name, k.Owner, k.Environment = "back-end", "other", "test" }))
	has("given away", "other/test/back-end", "other/test/end", "other/test/key")
	if _, err := s.Apply(t.Context(), changeOf("key", 1, func(k *apikey.Key) { k.Name = "stale" })); err == nil {
		t.Error("a stale change is made")
	}
	has("after a change that was refused", "other/test/back-end", "other/test/end", "other/test/key")
	apply(t, s, changeOf("key", 5, revoked))
	purge := changeOf("key", 6, revoked)
	purge.Delete = true
	apply(t, s, purge)
	has("purged")
}

func TestARowOfWordsThatIsStaleShowsNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	apply(t, s, changeOf("key", 0, func(k *apikey.Key) { k.Name = "billing" }))
	conn := connect(t, s)
	exec(t, conn, `INSERT INTO latchkey.words (key_id, word, owner, environment) VALUES
		('key', 'old name', 'acme', 'live'), ('key', 'strange', 'stranger', 'live')`)
	exec(t, conn, `UPDATE latchkey.words SET owner = 'stranger' WHERE word = 'key'`)
	for _, order := range []storage.Order{storage.NewestFirst, storage.ByName} {
		listsNames(t, s, "a word that is gone", storage.Query{Search: "old", Order: order})
		listsNames(t, s, "of another owner", storage.Query{Search: "strange", Owner: "stranger", Order: order})
		listsNames(t, s, "of another owner", storage.Query{Search: "key", Owner: "stranger", Order: order})
		listsNames(t, s, "all", storage.Query{Search: "old", Order: order})
		listsNames(t, s, "its own", storage.Query{Search: "bill", Owner: "acme", Order: order}, "billing")
	}
}

func TestACallLooksAtABoundedNumberOfKeys(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.LookAtLittle()
	for i := range 20 {
		apply(t, s, changeOf(fmt.Sprintf("key-%02d", i), 0, func(k *apikey.Key) { k.Name, k.CreatedAt = fmt.Sprint("name ", i), time.Unix(int64(i), 0) }))
	}
	for what, q := range map[string]storage.Query{
		"a filter":       {Plan: "none"},
		"a state":        {State: apikey.Revoked},
		"unused":         {UnusedSince: time.Unix(100, 0), Plan: "none"},
		"a term of many": {Search: "name", Plan: "none"},
	} {
		for calls := 1; ; calls++ {
			l, err := s.List(t.Context(), q)
			must(t, err)
			if q.After = l.Next; q.After.IsZero() {
				if calls < 5 {
					t.Errorf("%s: %d calls for 20 keys, want 5 at least", what, calls)
				}
				break
			}
			if want := fmt.Sprintf("key-%02d", 20-4*calls); q.After.ID != want {
				t.Fatalf("%s: call %d goes on after %s, want %s: four records were looked at", what, calls, q.After.ID, want)
			}
		}
	}
	l, err := s.List(t.Context(), storage.Query{Search: "name 7"}) // of one, which the first four are not
	if err != nil || len(l.Records) != 1 || !l.Next.IsZero() {
		t.Errorf("a term of few: %d records, next %+v, error %v; want all at once", len(l.Records), l.Next, err)
	}
}

// Four strings of the greatest length and a name fit an entry of an index.
func TestTheLongestNamesAreListed(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	long := func() string { return noise(768) }
	id, owner, environment := long(), long(), long()
	for i, name := range []string{strings.Repeat("\u023a", 64), noise(128), noise(5000)} {
		apply(t, s, changeOf(id[:767]+string(rune('a'+i)), 0, func(k *apikey.Key) { k.Name, k.Owner, k.Environment = name, owner, environment }))
	}
	if got := names(t, s, storage.Query{Owner: owner, Environment: environment, Order: storage.ByName, Limit: 2}); len(got) != 3 {
		t.Errorf("%d keys are listed, want 3", len(got))
	}
	if got := names(t, s, storage.Query{Owner: owner, Environment: environment, Search: id[:128]}); len(got) != 3 {
		t.Errorf("%d keys are found, want 3", len(got))
	}
}
