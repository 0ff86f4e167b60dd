package pgstore

import (
	"fmt"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// countColumns are the columns of the counts, in order, with the names that
// [apikey.Counts.All] returns.
func countColumns() []string {
	var names []string
	for name := range (apikey.Counts{}).All() {
		names = append(names, name)
	}
	return names
}

// addUsageSQL adds to all tables. It first locks the keys, in the order of
// their IDs, against deletion: counts for a key that is gone, or is being
// deleted, are dropped. $1 to $18 are the columns of the hours, $19 to $36
// those of the totals, $37 to $39 those of the scopes. A scope that was already
// used in its hour is skipped, and its row is not even locked.
func addUsageSQL() string {
	counts := countColumns()
	each := func(format string) string {
		all := make([]string, len(counts))
		for i, c := range counts {
			all[i] = strings.ReplaceAll(format, "?", c)
		}
		return strings.Join(all, ", ")
	}
	source := func(first int) string {
		arrays := []string{fmt.Sprintf("$%d::text[], $%d::timestamptz[], $%d::bigint[]", first, first+1, first+2)}
		for i := range counts {
			arrays = append(arrays, fmt.Sprintf("$%d::bigint[]", first+3+i))
		}
		n := first + 3 + len(counts)
		arrays = append(arrays, fmt.Sprintf("$%d::timestamptz[], $%d::text[], $%d::text[], $%d::text[], $%d::integer[]", n, n+1, n+2, n+3, n+4))
		return "unnest(" + strings.Join(arrays, ", ") + ") AS d (key_id, hour, secret, " + each("?") + `, last_at, last_network, last_user_agent, last_route, last_status)
	JOIN there ON there.id = d.key_id COLLATE "C"`
	}
	told := func(columns ...string) string {
		for i, c := range columns {
			columns[i] = strings.ReplaceAll("? = CASE WHEN "+newerSQL+" THEN excluded.? ELSE t.? END", "?", c)
		}
		return strings.Join(columns, ",\n\t\t")
	}
	scopes := 1 + 2*(len(counts)+8)
	return `
WITH there AS MATERIALIZED (
	SELECT id FROM "latchkey".keys WHERE id = ANY ($1::text[]) ORDER BY id FOR KEY SHARE
),
hours AS (
	INSERT INTO "latchkey".usage_hours AS t (key_id, hour, secret, ` + each("?") + `)
	SELECT there.id, d.hour, d.secret, ` + each("d.?") + `
	FROM ` + source(1) + `
	ORDER BY there.id, d.secret, d.hour
	ON CONFLICT (key_id, hour, secret) DO UPDATE SET ` + each("? = t.? + excluded.?") + `
),
days AS (
	INSERT INTO "latchkey".usage_days AS t (key_id, day, ` + each("?") + `)
	SELECT there.id, (d.hour AT TIME ZONE 'UTC')::date AS day, ` + each("sum(d.?)::bigint") + `
	FROM ` + source(1) + `
	GROUP BY there.id, day
	ORDER BY there.id, day
	ON CONFLICT (key_id, day) DO UPDATE SET ` + each("? = t.? + excluded.?") + `
),
totals AS (
	INSERT INTO "latchkey".usage_secrets AS t (key_id, secret, ` + each("?") + `, last_at, last_told_at, last_network, last_user_agent, last_route, last_status)
	SELECT there.id, d.secret, ` + each("d.?") + `, nullif(d.last_at, '0001-01-01 00:00:00Z'), nullif(d.last_at, '0001-01-01 00:00:00Z'),
		d.last_network, d.last_user_agent, d.last_route, d.last_status
	FROM ` + source(len(counts)+9) + `
	ORDER BY there.id, d.secret
	ON CONFLICT (key_id, secret) DO UPDATE SET ` + each("? = t.? + excluded.?") + `,
		last_at = greatest(t.last_at, excluded.last_at),
		` + told("last_told_at", "last_network", "last_user_agent", "last_route", "last_status") + `
),
scopes AS (
	INSERT INTO "latchkey".usage_scopes AS t (key_id, scope, hour)
	SELECT there.id, d.scope, d.hour
	FROM ` + fmt.Sprintf("unnest($%d::text[], $%d::text[], $%d::timestamptz[])", scopes, scopes+1, scopes+2) + ` AS d (key_id, scope, hour)
	JOIN there ON there.id = d.key_id COLLATE "C"
	WHERE NOT EXISTS (
		SELECT FROM "latchkey".usage_scopes AS o
		WHERE o.key_id = d.key_id COLLATE "C" AND o.scope = d.scope COLLATE "C" AND o.hour >= d.hour
	)
	ORDER BY there.id, d.scope COLLATE "C"
	ON CONFLICT (key_id, scope) DO UPDATE SET hour = greatest(t.hour, excluded.hour)
)
SELECT count(*) FROM there`
}

// newerSQL implements [apikey.LastUse.Replaces]. It is unknown, and so not
// true, for counts without a last use.
const newerSQL = `(excluded.last_at > coalesce(t.last_at, '-infinity') OR excluded.last_at = t.last_at AND (t.last_told_at IS DISTINCT FROM t.last_at
			OR t.last_status = 0 AND (excluded.last_status > 0 OR t.last_route = '' AND excluded.last_route <> '')))`

// The details of a last use apply only to the use for which they were reported.
const lastSQL = `last_at, last_network, last_user_agent, CASE WHEN last_told_at = last_at THEN last_route ELSE '' END,
	CASE WHEN last_told_at = last_at THEN last_status ELSE 0 END`

const (
	scopesSQL = `SELECT scope, hour FROM "latchkey".usage_scopes WHERE key_id = $1::text ORDER BY scope`
	beganSQL  = `SELECT applied_at FROM "latchkey".migrations WHERE name = '0004_uses.sql'`
)

func hoursSQL() string {
	return `SELECT hour, secret, ` + strings.Join(countColumns(), ", ") +
		` FROM "latchkey".usage_hours WHERE key_id = $1::text AND hour >= $2::timestamptz ORDER BY hour, secret`
}

func totalsSQL() string {
	return `SELECT secret, ` + strings.Join(countColumns(), ", ") + `, ` + lastSQL +
		` FROM "latchkey".usage_secrets WHERE key_id = $1::text ORDER BY secret`
}

func daysSQL() string {
	return `SELECT key_id, day, ` + strings.Join(countColumns(), ", ") +
		` FROM "latchkey".usage_days WHERE key_id = ANY ($1::text[]) AND day >= ($2::timestamptz AT TIME ZONE 'UTC')::date ORDER BY key_id, day`
}

const lastUsesSQL = `SELECT DISTINCT ON (key_id) key_id, ` + lastSQL + ` FROM "latchkey".usage_secrets
	WHERE key_id = ANY ($1::text[]) AND last_at IS NOT NULL ORDER BY key_id, last_at DESC, secret`
