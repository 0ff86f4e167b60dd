package pgstore_test

import (
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// An instance of the version before, whose limits have no names, is decided and
// charged in the same rows.
func TestLimiterBesideAProgramOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	l, r := newLimiter(t, s, patient), twoDemands("b", "a", 10, 2000)
	admit(t, l, 1, r)
	conn := connect(t, s)
	ask := func(sql string) (answer []int64) {
		t.Helper()
		must(t, conn.QueryRow(t.Context(), `SELECT latchkey.limit_`+sql).Scan(&answer))
		return answer
	}
	took := ask(`charge('{a,b}', '{1,1}', '{86400,3600}', '{2000,10}', 0, 0, 3, true, 1000, NULL)`)
	if took[1] != 0 || took[2] <= 0 || took[2] > int64(time.Minute) || took[3] != 1996 || took[6] != 6 {
		t.Errorf("a charge: got %v", took)
	}
	at := pgx.NamedArgs{"at": took[0]}
	settle := func(sql string) (answer []int64) {
		t.Helper()
		must(t, conn.QueryRow(t.Context(), `SELECT latchkey.limit_charge(`+sql+`)`, at).Scan(&answer))
		return answer
	}
	if got := settle(`'{b}', '{1}', '{3600}', '{10}', 3, @at::bigint, 0, false, 1000, NULL`); got[3] != 9 {
		t.Errorf("all is given back: got %v", got)
	}
	if got := settle(`'{b}', '{1}', '{3600}', '{10}', 0, @at::bigint, 10, true, 1000, NULL`); got[1] <= 0 || got[3] != 9 || got[5] != 1 {
		t.Errorf("more than what is left: got %v", got)
	}
	for _, sql := range []string{
		`settle('b', NULL, 1, '{3600}', '{10}', 0, 0, 1, true, 1000, NULL)`,
		`decide('b', NULL, 1, '{3600}', '{10}', 2, true, 1000, NULL)`,
		`charge('{new}', '{1}', '{3600}', '{10}', 0, 0, 4, true, 1000, NULL)`,
	} {
		ask(sql)
	}
	r.Demands = append(r.Demands, limiter.Demand{Subject: "new", Limits: r.Demands[0].Limits})
	if d, err := l.Peek(t.Context(), r); err != nil || d.Windows[0].Remaining != 6 || d.Windows[1].Remaining != 1996 || d.Windows[2].Remaining != 6 {
		t.Errorf("got %v, %v, want 6, 1996 and 6 remaining", d, err)
	}
	admit(t, l, 6, r)
	if got := ask(`charge('{new}', '{1}', '{3600}', '{10}', 0, 0, 1, true, 1000, NULL)`); got[1] <= 0 {
		t.Errorf("what this version admitted counts: got %v", got)
	}
}

// The counts of the version before are those of the first limit of their length
// that asks, and leave when they would have.
func TestLimiterGoesOnWithTheCountsOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	files, err := fs.Glob(pgstore.Migrations(), "*.sql")
	must(t, err)
	script := `CREATE SCHEMA latchkey; `
	for _, file := range files[:slices.Index(files, "0009_counts.sql")] {
		text, err := fs.ReadFile(pgstore.Migrations(), file)
		must(t, err)
		script += string(text)
	}
	const second = int64(time.Second)
	now := 2_000_000_000 * second
	script += `;
		SELECT latchkey.limit_charge('{k}', '{2}', '{60,86400}', '{10,1000}', 0, 0, 3, true, 1000, 2000000000000000000);
		SELECT latchkey.limit_charge('{k}', '{2}', '{60,86400}', '{10,1000}', 0, 0, 1, true, 1000, 2000000030000000000);
		SELECT latchkey.limit_charge('{k}', '{1}', '{3600}', '{10}', 0, 0, 5, true, 1000, 2000000000000000000)`
	_, err = pool.Exec(t.Context(), script, pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	s, err := pgstore.New(t.Context(), pool, pgstore.Options{AutoMigrate: true, NoListen: true, Logger: quiet})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	l := newLimiter(t, s, patient)
	l.SetClock(func() int64 { return now })
	now += 40 * second
	r := limiter.Request{Demands: []limiter.Demand{{Subject: "k", Limits: []apikey.Limit{
		{Name: "day", N: 1000, Window: 24 * time.Hour}, {Name: "minute", N: 10, Window: time.Minute}, {Name: "other", N: 10, Window: time.Minute},
	}}}}
	expect := func(remaining ...int64) {
		t.Helper()
		d, err := l.Peek(t.Context(), r)
		must(t, err)
		for i, want := range remaining {
			if d.Windows[i].Remaining != want {
				t.Errorf("%v later: got %v, want %v remaining", time.Duration(now-2_000_000_000*second), d, remaining)
				break
			}
		}
	}
	expect(996, 6, 10)
	admit(t, l, 1, r)
	expect(995, 5, 9)
	now += 21*second - 1000
	expect(995, 5, 9)
	now += 1000 // a segment of a second later than the first charge
	expect(995, 8, 9)
	r.Demands[0].Limits = []apikey.Limit{{Name: "hour", N: 100, Window: time.Hour}}
	expect(95)
}
