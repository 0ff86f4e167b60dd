package pgstore

import (
	"fmt"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// countColumns are the columns of the outcomes, in their order: they are named
// as [apikey.Outcome.String] names them.
func countColumns() []string {
	names := make([]string, apikey.NumOutcomes)
	for o := range apikey.NumOutcomes {
		names[o] = o.String()
	}
	return names
}

// addUsageSQL adds to both tables. The keys are locked first, in the order of
// their IDs, against their deletion: what is counted for a key that is gone, or
// goes now, is dropped. $1 to $16 are the columns of the hours, $17 to $32 those
// of the totals.
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
		arrays = append(arrays, fmt.Sprintf("$%d::timestamptz[], $%d::text[], $%d::text[]", n, n+1, n+2))
		return "unnest(" + strings.Join(arrays, ", ") + ") AS d (key_id, hour, secret, " + each("?") + ", last_at, last_network, last_user_agent)\n" +
			`	JOIN there ON there.id = d.key_id COLLATE "C"`
	}
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
totals AS (
	INSERT INTO "latchkey".usage_secrets AS t (key_id, secret, ` + each("?") + `, last_at, last_network, last_user_agent)
	SELECT there.id, d.secret, ` + each("d.?") + `, nullif(d.last_at, '0001-01-01 00:00:00Z'), d.last_network, d.last_user_agent
	FROM ` + source(4+len(counts)+3) + `
	ORDER BY there.id, d.secret
	ON CONFLICT (key_id, secret) DO UPDATE SET ` + each("? = t.? + excluded.?") + `,
		last_at = greatest(t.last_at, excluded.last_at),
		last_network = CASE WHEN ` + newerSQL + ` THEN excluded.last_network ELSE t.last_network END,
		last_user_agent = CASE WHEN ` + newerSQL + ` THEN excluded.last_user_agent ELSE t.last_user_agent END
)
SELECT count(*) FROM there`
}

// newerSQL is unknown, and so not true, for counts without a last use.
const newerSQL = `excluded.last_at > coalesce(t.last_at, '-infinity')`

func hoursSQL() string {
	return `SELECT hour, secret, ` + strings.Join(countColumns(), ", ") +
		` FROM "latchkey".usage_hours WHERE key_id = $1::text AND hour >= $2::timestamptz ORDER BY hour, secret`
}

func totalsSQL() string {
	return `SELECT secret, ` + strings.Join(countColumns(), ", ") + `, last_at, last_network, last_user_agent` +
		` FROM "latchkey".usage_secrets WHERE key_id = $1::text ORDER BY secret`
}

// daysSQL sums up, so that a month of hours does not cross the wire.
func daysSQL() string {
	sums := make([]string, 0, apikey.NumOutcomes)
	for _, c := range countColumns() {
		sums = append(sums, "sum("+c+")::bigint")
	}
	return `SELECT key_id, (hour AT TIME ZONE 'UTC')::date AS day, ` + strings.Join(sums, ", ") +
		` FROM "latchkey".usage_hours WHERE key_id = ANY ($1::text[]) AND hour >= $2::timestamptz GROUP BY key_id, day ORDER BY key_id, day`
}

const lastUsesSQL = `SELECT DISTINCT ON (key_id) key_id, last_at, last_network, last_user_agent FROM "latchkey".usage_secrets
	WHERE key_id = ANY ($1::text[]) AND last_at IS NOT NULL ORDER BY key_id, last_at DESC, secret`
