package pgstore

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Statements are written for the schema "latchkey", with its quotes, so that
// they can be read, and pasted into psql, as they stand; qualify puts the real
// one in. Every parameter has a cast: without prepared statements nobody else
// says what it is.

func qualify(schema, sql string) string {
	return strings.ReplaceAll(sql, `"latchkey".`, pgx.Identifier{schema}.Sanitize()+".")
}

// statements are all that a store sends, in its schema.
type statements struct {
	get, create, update, remove string
	list                        [8]string // by listBit
	audit                       [4]string // by auditBit
	addUsage, hours, totals     string
	register, poll              string
	pruneFeed, pruneHours       string
	pruneLimits                 string
}

func render(schema string) statements {
	s := statements{
		get:         getSQL,
		create:      fmt.Sprintf(changeSQL, createSQL),
		update:      fmt.Sprintf(changeSQL, updateSQL),
		remove:      fmt.Sprintf(changeSQL, removeSQL),
		addUsage:    addUsageSQL(),
		hours:       hoursSQL(),
		totals:      totalsSQL(),
		register:    registerSQL,
		poll:        pollSQL,
		pruneFeed:   pruneFeedSQL,
		pruneHours:  pruneHoursSQL,
		pruneLimits: pruneLimitsSQL,
	}
	for i := range s.list {
		s.list[i] = listSQL(listBit(i))
	}
	for i := range s.audit {
		s.audit[i] = auditSQL(auditBit(i))
	}
	for _, p := range []*string{
		&s.get, &s.create, &s.update, &s.remove, &s.addUsage, &s.hours, &s.totals,
		&s.register, &s.poll, &s.pruneFeed, &s.pruneHours, &s.pruneLimits,
	} {
		*p = qualify(schema, *p)
	}
	for i := range s.list {
		s.list[i] = qualify(schema, s.list[i])
	}
	for i := range s.audit {
		s.audit[i] = qualify(schema, s.audit[i])
	}
	return s
}

const getSQL = `SELECT id, revision, revoked_at, record FROM "latchkey".keys WHERE id = $1::text`

// changeSQL is a whole change in one statement: the key's row under
// compare-and-swap, then, if there was one, the next position of the feed, and
// what stands at that position. "head" reads from "changed", so the row of the
// counter is locked after that of the key, when only two insertions and the
// commit are left: all changes of all keys wait for that lock in turn.
const changeSQL = `
WITH changed AS (%s),
head AS (
	UPDATE "latchkey".feed_head AS h SET head = h.head + 1 FROM changed RETURNING h.head
),
trail AS (
	INSERT INTO "latchkey".audit (seq, at, actor, "from", action, key_id, owner, reason, details)
	SELECT head, $4::timestamptz, $5::text, $6::text, $7::text, $1::text, $8::text, $9::text, $10::text::jsonb FROM head
),
told AS (
	INSERT INTO "latchkey".feed (position, key_id, revision, deleted, at)
	SELECT head, $1::text, $2::bigint + 1, $3::boolean, clock_timestamp() FROM head
)
SELECT head, pg_notify('latchkey_feed', $11::text)::text FROM head`

// $1 id, $2 the revision expected, $3 whether it is deleted, $4 to $10 the
// audit entry, $11 the schema, and for these two the columns of the row.
const (
	createSQL = `
	INSERT INTO "latchkey".keys (id, owner, environment, created_at, revision, revoked_at, record)
	VALUES ($1::text, $12::text, $13::text, $14::timestamptz, $2::bigint + 1, $15::timestamptz, $16::bytea)
	ON CONFLICT (id) DO NOTHING
	RETURNING id
`
	updateSQL = `
	UPDATE "latchkey".keys
	SET owner = $12::text, environment = $13::text, created_at = $14::timestamptz, revision = $2::bigint + 1,
		revoked_at = $15::timestamptz, record = $16::bytea
	WHERE id = $1::text AND revision = $2::bigint
	RETURNING id
`
	removeSQL = `
	DELETE FROM "latchkey".keys
	WHERE id = $1::text AND revision = $2::bigint AND revoked_at IS NOT NULL
	RETURNING id
`
)

// listBit and auditBit say which conditions a query has. Each set of them is a
// statement of its own, because one for all would be planned for none. The
// parameters are the limit and then those of the conditions, in their order.
type (
	listBit  int
	auditBit int
)

const (
	byOwner listBit = 1 << iota
	byEnvironment
	afterPosition
)

const (
	auditByKey auditBit = 1 << iota
	auditByOwner
)

func listSQL(b listBit) string {
	var w conditions
	if b&byOwner != 0 {
		w.add("owner = $%d::text")
	}
	if b&byEnvironment != 0 {
		w.add("environment = $%d::text")
	}
	if b&afterPosition != 0 {
		w.add(`(created_at, id) < ($%d::timestamptz, $%d::text COLLATE "C")`)
	}
	return `SELECT id, revision, revoked_at, record, created_at FROM "latchkey".keys ` + w.String() + `ORDER BY created_at DESC, id DESC LIMIT $1::bigint`
}

func auditSQL(b auditBit) string {
	var w conditions
	w.add("seq < $%d::bigint")
	if b&auditByKey != 0 {
		w.add("key_id = $%d::text")
	}
	if b&auditByOwner != 0 {
		w.add("owner = $%d::text")
	}
	return `SELECT seq, at, actor, "from", action, key_id, owner, reason, details::text FROM "latchkey".audit ` +
		w.String() + `ORDER BY seq DESC LIMIT $1::bigint`
}

// conditions numbers the parameters of a WHERE clause, from $2.
type conditions struct {
	all    []string
	params int
}

func (w *conditions) add(format string) {
	numbers := make([]any, strings.Count(format, "%d"))
	for i := range numbers {
		numbers[i] = w.params + 2 + i
	}
	w.params += len(numbers)
	w.all = append(w.all, fmt.Sprintf(format, numbers...))
}

func (w *conditions) String() string {
	if len(w.all) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(w.all, " AND ") + " "
}
