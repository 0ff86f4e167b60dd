package pgstore_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
)

// What the migration adds up is what would have been added day by day.
func TestTheDaysOfAnOlderSchemaAreAddedUp(t *testing.T) {
	s := newStore(t)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	rng := rand.New(rand.NewPCG(1, 2))
	var ids []string
	for i := range 5 {
		ids = append(ids, fmt.Sprintf("key-%d", i))
		apply(t, s, changeOf(ids[i], 0, nil))
	}
	for range 20 {
		var batch []storage.UsageDelta
		for range 100 {
			d := storage.UsageDelta{KeyID: ids[rng.IntN(5)], Secret: 1 + rng.Uint32N(3), Hour: today.Add(-time.Duration(rng.IntN(700)) * time.Hour)}
			for _, n := range d.Counts.Fields() {
				*n = rng.Uint64N(50)
			}
			batch = append(batch, d)
		}
		must(t, s.AddUsage(t.Context(), batch))
	}
	activity := func() []apikey.Activity {
		t.Helper()
		a, err := s.Activity(t.Context(), ids, today.AddDate(0, 0, -40))
		must(t, err)
		return a
	}
	before := activity()
	if n := len(before[0].Days); n < 20 {
		t.Fatalf("%d days", n)
	}
	_, err := s.Pool().Exec(t.Context(), `DROP TABLE latchkey.usage_days; DELETE FROM latchkey.migrations WHERE version = 5`, pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	text, err := fs.ReadFile(pgstore.Migrations(), "0005_days.sql")
	must(t, err)
	_, err = s.Pool().Exec(t.Context(), string(text), pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	s.Pool().Reset() // what is prepared is of the table that was dropped
	if after := activity(); !reflect.DeepEqual(after, before) {
		t.Errorf("after the migration:\n%v\nwant\n%v", after, before)
	}
}

// Days are removed when they have been kept for long enough, and with their key.
func TestDaysGoWithTimeAndWithTheirKey(t *testing.T) {
	s := newStore(t)
	apply(t, s, changeOf("key", 0, revoked))
	now := time.Now().UTC()
	days := func() int { return count(t, s.Pool(), `SELECT count(*) FROM latchkey.usage_days`) }
	for _, age := range []time.Duration{0, storage.UsageRetention - 24*time.Hour, storage.UsageRetention + 48*time.Hour} {
		must(t, s.AddUsage(t.Context(), []storage.UsageDelta{{KeyID: "key", Secret: 1, Hour: now.Add(-age).Truncate(time.Hour), Counts: apikey.Counts{Allowed: 1}}}))
	}
	if n := days(); n < 2 {
		t.Fatalf("%d days", n)
	}
	must(t, s.Maintain(t.Context()))
	if n := days(); n != 2 {
		t.Errorf("%d days are left, want the two that are young", n)
	}
	purge := changeOf("key", 1, revoked)
	purge.Delete = true
	apply(t, s, purge)
	if n := days(); n != 0 {
		t.Errorf("%d days are left of a key that is gone", n)
	}
}
