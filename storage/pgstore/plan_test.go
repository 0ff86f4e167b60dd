package pgstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
)

// With 100,000 keys a page is read from an index, in its order: the plan says
// so, without a clock.
func TestPagesComeFromIndexes(t *testing.T) {
	s := newStore(t)
	const n = 100_000
	fill(t, s, n)
	middle := apikey.Position{CreatedAt: time.Unix(n/2, 0), ID: "key-050000"}
	for _, q := range []apikey.Query{
		{},
		{Owner: "owner-7"},
		{Environment: "live"},
		{Owner: "owner-7", Environment: "test"},
		{Owner: "large", Environment: "test"},
		{Owner: "nobody"},
	} {
		for _, after := range []apikey.Position{{}, middle} {
			q.After = after
			sql, args := s.ListQuery(q)
			indexed(t, s, fmt.Sprintf("list %+v", q), sql, args)
		}
	}
	for _, q := range []apikey.AuditQuery{{}, {KeyID: "key-000007"}, {Owner: "owner-7"}, {KeyID: "key-000007", Owner: "owner-7"}, {Owner: "large"}} {
		for _, before := range []uint64{0, n / 2} {
			q.Before = before
			sql, args := s.AuditQuery(q)
			indexed(t, s, fmt.Sprintf("audit %+v", q), sql, args)
		}
	}
	page, err := s.List(t.Context(), apikey.Query{Owner: "owner-7", After: middle, Limit: 3})
	if err != nil || len(page.Records) != 3 || page.Records[0].Key.ID != "key-049907" {
		t.Errorf("a page from the middle: %d records, error %v", len(page.Records), err)
	}
}

func indexed(t *testing.T, s *pgstore.Store, what, sql string, args []any) {
	t.Helper()
	rows, err := s.Pool().Query(t.Context(), "EXPLAIN (COSTS OFF) "+sql, args...)
	must(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	plan := strings.Join(lines, "\n")
	if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Sort") || !strings.Contains(plan, "Index") {
		t.Errorf("%s reads or sorts the table:\n%s", what, plan)
	}
}

// fill makes keys of 100 small owners, every tenth of one that is large.
func fill(t *testing.T, s *pgstore.Store, n int) {
	t.Helper()
	_, err := s.Pool().CopyFrom(t.Context(), pgx.Identifier{"latchkey", "keys"},
		[]string{"id", "owner", "environment", "created_at", "revision", "record"},
		pgx.CopyFromSlice(n, func(i int) ([]any, error) {
			r := changeOf(fmt.Sprintf("key-%06d", i), 0, func(k *apikey.Key) {
				k.Owner, k.CreatedAt, k.Revision = fmt.Sprint("owner-", i%100), time.Unix(int64(i), 0), 1
				if i%10 == 0 {
					k.Owner = "large"
				}
			}).Record
			k := &r.Key
			return []any{k.ID, k.Owner, k.Environment, k.CreatedAt, int64(1), storage.AppendRecord(nil, r)}, nil
		}))
	must(t, err)
	conn := connect(t, s)
	exec(t, conn, `INSERT INTO latchkey.audit (seq, at, actor, "from", action, key_id, owner, reason)
		SELECT row_number() OVER (ORDER BY id), created_at, '', '', '', id, owner, '' FROM latchkey.keys`)
	exec(t, conn, "ANALYZE")
}
