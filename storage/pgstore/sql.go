package pgstore

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Statements are written for the schema "latchkey", with its quotes, so that
// they can be read, and pasted into psql, as they are; qualify inserts the real
// schema. Every parameter has a cast: without prepared statements nothing else
// gives its type.

func qualify(schema, sql string) string {
	return strings.ReplaceAll(sql, `"latchkey".`, pgx.Identifier{schema}.Sanitize()+".")
}

// statements are all that a store sends, for its schema.
type statements struct {
	get, getBatch, remove    string
	create, update, rename   string
	list                     [128]string // by listBit
	words                    [4]string   // by the bits of listBit for owner and environment
	audit                    [4]string   // by auditBit
	addUsage, hours, totals  string
	scopes, began            string
	days, lastUses           string
	behind, catchUp          string
	register, poll, announce string
	pruneFeed, pruneHours    string
	pruneDays, pruneLimits   string
}

func render(schema string) statements {
	s := statements{
		get:         getSQL,
		getBatch:    getBatchSQL,
		create:      fmt.Sprintf(changeSQL, createSQL+namedSQL),
		update:      fmt.Sprintf(changeSQL, fmt.Sprintf(updateSQL, "")+unnamedSQL),
		rename:      fmt.Sprintf(changeSQL, fmt.Sprintf(updateSQL, namesSQL)+renamedSQL),
		remove:      fmt.Sprintf(changeSQL, removeSQL+unnamedSQL),
		addUsage:    addUsageSQL(),
		hours:       hoursSQL(),
		totals:      totalsSQL(),
		scopes:      scopesSQL,
		began:       beganSQL,
		days:        daysSQL(),
		lastUses:    lastUsesSQL,
		behind:      behindSQL,
		catchUp:     catchUpSQL,
		register:    registerSQL,
		poll:        pollSQL,
		announce:    announceSQL,
		pruneFeed:   pruneFeedSQL,
		pruneHours:  pruneHoursSQL,
		pruneDays:   pruneDaysSQL,
		pruneLimits: pruneLimitsSQL,
	}
	for i := range s.list {
		s.list[i] = listSQL(listBit(i))
	}
	for i := range s.words {
		s.words[i] = wordsSQL(listBit(i))
	}
	for i := range s.audit {
		s.audit[i] = auditSQL(auditBit(i))
	}
	for _, p := range []*string{
		&s.get, &s.getBatch, &s.create, &s.update, &s.rename, &s.remove, &s.addUsage, &s.hours, &s.totals, &s.scopes, &s.began, &s.days, &s.lastUses, &s.behind, &s.catchUp,
		&s.register, &s.poll, &s.announce, &s.pruneFeed, &s.pruneHours, &s.pruneDays, &s.pruneLimits,
	} {
		*p = qualify(schema, *p)
	}
	for i := range s.list {
		s.list[i] = qualify(schema, s.list[i])
	}
	for i := range s.words {
		s.words[i] = qualify(schema, s.words[i])
	}
	for i := range s.audit {
		s.audit[i] = qualify(schema, s.audit[i])
	}
	return s
}

// inOrderSQL applies to the transaction that contains it. A disabled plan that
// cannot be avoided has such a high cost that the server would compile it, so
// jit is off as well.
const (
	beginReadSQL = "begin isolation level read committed read only"
	inOrderSQL   = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('enable_sort', 'off', true), set_config('jit', 'off', true)`
)

const getSQL = `SELECT id, revision, revoked_at, record FROM "latchkey".keys WHERE id = $1::text`

const getBatchSQL = `SELECT id, revision, revoked_at, record FROM "latchkey".keys WHERE id = ANY ($1::text[])`

// changeSQL is a whole change in one statement: the key's row under
// compare-and-swap; then, if there was one, the words of its name, the next
// position of the feed, and the change at that position. "head" reads from
// "named" and so from "changed": the row of the counter is locked after that of
// the key, when only two insertions and the commit are left. This matters
// because all changes of all keys wait for that lock in turn.
const changeSQL = `
WITH changed AS (%s),
head AS (
	UPDATE "latchkey".feed_head AS h SET head = h.head + 1 FROM named RETURNING h.head
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

// announceSQL puts a topic, $1, in the feed in place of a key; $2 is the
// schema.
const announceSQL = `
WITH head AS (
	UPDATE "latchkey".feed_head AS h SET head = h.head + 1 RETURNING h.head
),
told AS (
	INSERT INTO "latchkey".feed (position, key_id, revision, deleted, at)
	SELECT head, $1::text, 0, false, clock_timestamp() FROM head
)
SELECT head, pg_notify('latchkey_feed', $2::text)::text FROM head`

// $1 id, $2 the expected revision, $3 whether it is deleted, $4 to $10 the
// audit entry, $11 the schema, then, except for a deletion, the columns of the
// row, and, if the name is written, its key and its words.
//
// An update that leaves the name, the owner and the environment unchanged
// leaves the words and their mark unchanged, too: a key that was behind stays
// behind.
const (
	createSQL = `
	INSERT INTO "latchkey".keys (id, owner, environment, created_at, revision, revoked_at, record, name_key, listed, behind)
	VALUES ($1::text, $12::text, $13::text, $14::timestamptz, $2::bigint + 1, $15::timestamptz, $16::bytea, $17::bytea, $2::bigint + 1, false)
	ON CONFLICT (id) DO NOTHING
	RETURNING id
`
	updateSQL = `
	UPDATE "latchkey".keys
	SET owner = $12::text, environment = $13::text, created_at = $14::timestamptz, revision = $2::bigint + 1,
		revoked_at = $15::timestamptz, record = $16::bytea, listed = $2::bigint + 1%s
	WHERE id = $1::text AND revision = $2::bigint
	RETURNING id
`
	namesSQL  = `, name_key = $17::bytea, behind = false` // for updateSQL
	removeSQL = `
	DELETE FROM "latchkey".keys
	WHERE id = $1::text AND revision = $2::bigint AND revoked_at IS NOT NULL
	RETURNING id
`
	// namedSQL writes the words of a new key.
	namedSQL = `),
said AS (
	INSERT INTO "latchkey".words (key_id, word, owner, environment)
	SELECT changed.id, new.word, $12::text, $13::text FROM changed, unnest($18::bytea[]) AS new (word)
	RETURNING 1
),
named AS (
	SELECT changed.id FROM changed, (SELECT count(*) FROM said) AS s
`
	// renamedSQL may find words that were written after the statement began, by
	// somebody who caught up with the key.
	renamedSQL = `),
unsaid AS (
	DELETE FROM "latchkey".words AS w USING changed WHERE w.key_id = changed.id AND w.word <> ALL ($18::bytea[])
	RETURNING 1
),
said AS (
	INSERT INTO "latchkey".words AS w (key_id, word, owner, environment)
	SELECT changed.id, new.word, $12::text, $13::text FROM changed, unnest($18::bytea[]) AS new (word)
	ON CONFLICT (key_id, word) DO UPDATE SET owner = excluded.owner, environment = excluded.environment
	RETURNING 1
),
named AS (
	SELECT changed.id FROM changed, (SELECT count(*) FROM unsaid) AS u, (SELECT count(*) FROM said) AS s
`
	// unnamedSQL leaves deleting the words to their foreign key.
	unnamedSQL = `),
named AS (
	SELECT id FROM changed
`
)

// listBit and auditBit say which conditions a query has. Each combination is a
// statement of its own, because a single statement for all would have a bad
// plan for each. The parameters are the limit and then those of the conditions,
// in order.
type (
	listBit  int
	auditBit int
)

const (
	byOwner listBit = 1 << iota
	byEnvironment
	afterPosition
	oldestFirst
	byName // instead of the time
	among  // IDs
	withUse
)

const (
	auditByKey auditBit = 1 << iota
	auditByOwner
)

// listSQL returns rows in an order that has an index for each combination of
// owner and environment. Among IDs, which are few, it reads those rows and
// sorts them: no estimate of the planner's makes it walk the order for them.
func listSQL(b listBit) string {
	var w conditions
	with, from := "", `"latchkey".keys AS k`
	if b&among != 0 {
		with, from = w.place(`WITH k AS MATERIALIZED (SELECT * FROM "latchkey".keys WHERE id = ANY ($%d::text[])) `), "k"
	}
	if b&byOwner != 0 {
		w.add("k.owner = $%d::text")
	}
	if b&byEnvironment != 0 {
		w.add("k.environment = $%d::text")
	}
	by, direction, than := "k.created_at", " DESC", "<"
	place := "$%d::timestamptz"
	if b&byName != 0 {
		by, place = "k.name_key", "$%d::bytea"
	}
	if b&(oldestFirst|byName) != 0 {
		direction, than = "", ">"
	}
	if b&afterPosition != 0 {
		w.add(`(` + by + `, k.id) ` + than + ` (` + place + `, $%d::text COLLATE "C")`)
	}
	last := "NULL::timestamptz"
	if b&withUse != 0 {
		last = `(SELECT max(u.last_at) FROM "latchkey".usage_secrets AS u WHERE u.key_id = k.id)`
	}
	return with + `SELECT k.id, k.revision, k.revoked_at, k.record, k.created_at, k.name_key, ` + last + ` FROM ` + from + ` ` +
		w.String() + `ORDER BY ` + by + direction + `, k.id` + direction + ` LIMIT $1::bigint`
}

// wordsSQL looks for the keys that have a word between $2 and $3, and stops
// after $1 rows. It returns how many rows it saw and the first keys, at most
// $4.
func wordsSQL(b listBit) string {
	w := conditions{params: 3}
	w.all = []string{"word >= $2::bytea", "word < $3::bytea"}
	by := ""
	if b&byOwner != 0 {
		by = "owner, "
		w.add("owner = $%d::text")
	}
	filter := ""
	from := `FROM (SELECT key_id, environment FROM "latchkey".words ` + w.String() + `ORDER BY ` + by + `word, environment, key_id LIMIT $1::bigint) AS w`
	if b&byEnvironment != 0 {
		filter = w.place(" FILTER (WHERE environment = $%d::text)")
	}
	return `SELECT count(*), (array_agg(DISTINCT key_id)` + filter + `)[1 : $4::int] ` + from
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

func (w *conditions) add(format string) { w.all = append(w.all, w.place(format)) }

// place numbers the parameters of something other than a condition.
func (w *conditions) place(format string) string {
	numbers := make([]any, strings.Count(format, "%d"))
	for i := range numbers {
		numbers[i] = w.params + 2 + i
	}
	w.params += len(numbers)
	return fmt.Sprintf(format, numbers...)
}

func (w *conditions) String() string {
	if len(w.all) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(w.all, " AND ") + " "
}
