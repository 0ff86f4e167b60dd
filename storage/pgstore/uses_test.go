package pgstore_test

import (
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// While instances of the version before still write, the route and the status of
// an older use must not be told of the newer one that they write.
func TestWhatAnOlderProgramWritesHasNoRoute(t *testing.T) {
	s := newStore(t)
	conn := connect(t, s)
	apply(t, s, changeOf("key", 0, nil))
	at := time.Now().UTC().Truncate(time.Microsecond)
	use := apikey.LastUse{At: at, Network: "10.0.0.0/24", UserAgent: "curl", Route: "GET /things", Status: 404}
	add := func(last apikey.LastUse) {
		t.Helper()
		must(t, s.AddUsage(t.Context(), []storage.UsageDelta{{KeyID: "key", Secret: 1, Hour: at.Truncate(time.Hour), Counts: apikey.Counts{Allowed: 1}, Last: last}}))
	}
	is := func(what string, want apikey.LastUse) {
		t.Helper()
		u, err := s.Usage(t.Context(), "key", time.Time{})
		must(t, err)
		a, err := s.Activity(t.Context(), []string{"key"}, at)
		must(t, err)
		if u.Last() != want || a[0].Last != want {
			t.Errorf("%s:\n got %+v\n and %+v\nwant %+v", what, u.Last(), a[0].Last, want)
		}
	}
	add(use)
	is("what this program wrote", use)
	older := apikey.LastUse{At: at.Add(time.Second), Network: "10.9.0.0/24", UserAgent: "python"}
	exec(t, conn, `UPDATE latchkey.usage_secrets SET last_at = $1, last_network = $2, last_user_agent = $3`, older.At, older.Network, older.UserAgent)
	is("what an older program wrote after it", older)
	add(use)
	is("and what was before that", older)
	use.At = at.Add(time.Minute)
	add(use)
	is("what this program wrote then", use)
}

// A scope's row is written once an hour, not with each flush of each instance.
func TestAScopeIsWrittenOnceAnHour(t *testing.T) {
	s := newStore(t)
	apply(t, s, changeOf("key", 0, nil))
	hour := time.Now().UTC().Truncate(time.Hour)
	row := func() (place string) {
		t.Helper()
		err := s.Pool().QueryRow(t.Context(), `SELECT ctid::text || ' ' || xmax::text FROM latchkey.usage_scopes`).Scan(&place)
		must(t, err)
		return place
	}
	add := func(hour time.Time) {
		t.Helper()
		must(t, s.AddUsage(t.Context(), []storage.UsageDelta{{KeyID: "key", Secret: 1, Hour: hour, Counts: apikey.Counts{Allowed: 1}, Scopes: []string{"things:read", "things:read", "no\x00scope", "no\xffscope"}}}))
	}
	add(hour)
	first := row()
	add(hour)
	add(hour.Add(-time.Hour))
	if got := row(); got != first {
		t.Errorf("the row was written or locked again for the same hour, or for one before: it was at %s, and is at %s", first, got)
	}
	add(hour.Add(time.Hour))
	if row() == first {
		t.Error("the row was not written for a new hour")
	}
}

// Scopes are counted since the migration, whoever made the keys.
func TestScopesAreCountedSinceTheMigration(t *testing.T) {
	s := newStore(t)
	var applied time.Time
	must(t, s.Pool().QueryRow(t.Context(), `SELECT applied_at FROM latchkey.migrations WHERE version = 4`).Scan(&applied))
	u, err := s.Usage(t.Context(), "nobody", time.Time{})
	must(t, err)
	if !u.ScopesSince.Equal(applied) {
		t.Errorf("scopes are counted since %v, the migration was applied at %v", u.ScopesSince, applied)
	}
}
