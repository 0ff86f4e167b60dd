package pgstore_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
)

// With many keys, most of them of one owner, a page is read from an index, in its order: the plan says so, without
// a clock.
func TestPagesComeFromIndexes(t *testing.T) {
	s := newStore(t)
	n := 20_000
	if os.Getenv("LATCHKEY_LONG") != "" {
		n = 100_000
	}
	fill(t, s, n)
	middle := storage.Position{CreatedAt: time.Unix(int64(n/2), 0), Name: fmt.Sprintf("staging worker %06d", n/2), ID: fmt.Sprintf("key-%06d", n/2)}
	for _, q := range []storage.Query{
		{},
		{Owner: "owner-7"},
		{Environment: "live"},
		{Owner: "owner-7", Environment: "test"},
		{Owner: "large", Environment: "test"},
		{Owner: "nobody"},
		{Owner: "large", UnusedSince: time.Unix(int64(n/2), 0)},
	} {
		for _, after := range []storage.Position{{}, middle} {
			for _, q.Order = range []storage.Order{storage.NewestFirst, storage.OldestFirst, storage.ByName} {
				q.After = after
				sql, args := s.ListQuery(q, nil)
				indexed(t, s, fmt.Sprintf("list %+v", q), sql, args)
			}
		}
	}
	for _, term := range []string{"staging", "w", fmt.Sprintf("worker %06d", n/2+1), "nobody"} {
		for _, q := range []storage.Query{{}, {Owner: "owner-7"}, {Environment: "test"}, {Owner: "large", Environment: "test"}} {
			q.Search = term
			sql, args := s.WordsQuery(q)
			indexed(t, s, fmt.Sprintf("search %+v", q), sql, args)
		}
	}
	some := make([]string, 1000)
	for i := range some {
		some[i] = fmt.Sprintf("key-%06d", i*(n/1000-1))
	}
	for _, ids := range [][]string{some[:1], some[:5], some} {
		for _, q := range []storage.Query{{}, {Owner: "large", Order: storage.ByName, After: middle}, {Environment: "live", UnusedSince: middle.CreatedAt}} {
			sql, args := s.ListQuery(q, ids)
			plan := explain(t, s, sql, args)
			if strings.Contains(plan, "Seq Scan on keys") || strings.Contains(plan, "Seq Scan on usage") {
				t.Errorf("among %d keys, list %+v reads the table:\n%s", len(ids), q, plan)
			}
		}
	}
	for _, q := range []apikey.AuditQuery{{}, {KeyID: "key-000007"}, {Owner: "owner-7"}, {KeyID: "key-000007", Owner: "owner-7"}, {Owner: "large"}} {
		for _, before := range []uint64{0, uint64(n / 2)} {
			q.Before = before
			sql, args := s.AuditQuery(q)
			indexed(t, s, fmt.Sprintf("audit %+v", q), sql, args)
		}
	}
	page, err := s.List(t.Context(), storage.Query{Owner: "owner-7", After: middle, Limit: 3})
	if err != nil || len(page.Records) != 3 || page.Records[0].Key.ID != fmt.Sprintf("key-%06d", n/2-93) {
		t.Errorf("a page from the middle: %d records, error %v", len(page.Records), err)
	}
}

func indexed(t *testing.T, s *pgstore.Store, what, sql string, args []any) {
	t.Helper()
	plan := explain(t, s, sql, args)
	// An aggregate sorts what it is given, which is bounded.
	if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Sort") || strings.Contains(plan, "Bitmap") || !strings.Contains(plan, "Index") {
		t.Errorf("%s reads or sorts the table:\n%s", what, plan)
	}
}

// explain returns two plans, in the setting of a list: for these values, and for
// values that the planner does not know, as for a statement that comes often.
func explain(t *testing.T, s *pgstore.Store, sql string, args []any) string {
	t.Helper()
	var plans []string
	must(t, pgx.BeginFunc(t.Context(), s.Pool(), func(tx pgx.Tx) error {
		ask := func(sql string, args ...any) error {
			rows, err := tx.Query(t.Context(), "EXPLAIN (COSTS OFF) "+sql, args...)
			if err != nil {
				return err
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			plans = append(plans, strings.Join(lines, "\n"))
			return err
		}
		for _, set := range []string{"SET LOCAL plan_cache_mode = force_generic_plan", pgstore.InOrder} {
			if _, err := tx.Exec(t.Context(), set); err != nil {
				return err
			}
		}
		if _, err := tx.Prepare(t.Context(), "q", sql); err != nil {
			return err
		}
		defer func() { must(t, tx.Conn().Deallocate(t.Context(), "q")) }()
		unknown := strings.TrimSuffix(strings.Repeat("NULL, ", len(args)), ", ")
		if err := ask("EXECUTE q("+unknown+")", pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), "SET LOCAL plan_cache_mode = force_custom_plan"); err != nil {
			return err
		}
		return ask(sql, args...)
	}))
	return strings.Join(plans, "\n\n")
}

// fill makes keys of 100 small owners, every tenth of one that is large.
func fill(t *testing.T, s *pgstore.Store, n int) {
	t.Helper()
	records := make([]storage.Record, n)
	for i := range records {
		records[i] = changeOf(fmt.Sprintf("key-%06d", i), 0, func(k *apikey.Key) {
			k.Owner, k.CreatedAt, k.Name = fmt.Sprint("owner-", i%100), time.Unix(int64(i), 0), fmt.Sprintf("staging worker %06d", i)
			if i%10 == 0 {
				k.Owner = "large"
			}
		}).Record
	}
	must(t, s.Fill(t.Context(), records))
	conn := connect(t, s)
	exec(t, conn, `INSERT INTO latchkey.audit (seq, at, actor, "from", action, key_id, owner, reason)
		SELECT row_number() OVER (ORDER BY id), created_at, '', '', '', id, owner, '' FROM latchkey.keys`)
	exec(t, conn, `INSERT INTO latchkey.usage_secrets SELECT id, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, created_at, '', '' FROM latchkey.keys`)
	exec(t, conn, "ANALYZE")
}
