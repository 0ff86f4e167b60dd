package pgstore

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// maxTerm is how much of a word is stored in the table, in bytes. The record
// distinguishes longer ones.
const maxTerm = 64

// wordsOf returns the rows of a key in the table of words, without duplicates.
// Two words may be equal once truncated, and a statement must not write a row
// twice.
func wordsOf(k *apikey.Key) [][]byte {
	seen := make(map[string]bool)
	var all [][]byte
	for _, term := range storage.Terms(k) {
		if term = term[:min(len(term), maxTerm)]; !seen[term] {
			seen[term] = true
			all = append(all, []byte(term))
		}
	}
	return all
}

// names writes the names that other programs did not write because they do not
// know them: programs that wrote keys before the table existed, and older ones
// that still run. See migration 3.
type names struct {
	pool *pgxpool.Pool
	sql  statements
	log  *slog.Logger
}

func (s *Store) names() *names { return &names{s.pool, s.sql, s.log} }

const behindSQL = `SELECT id, revision, revoked_at, record FROM "latchkey".keys WHERE behind ORDER BY id LIMIT $1::bigint`

// catchUpSQL writes the names of keys that are still at the revision that was
// read. The rows are locked in the order of their IDs, so that two instances
// that catch up cannot deadlock. $1 to $3 are the keys, their revisions and
// name keys, $4 and $5 the words and their keys.
const catchUpSQL = `
WITH there AS MATERIALIZED (
	SELECT id FROM "latchkey".keys WHERE id = ANY ($1::text[]) AND behind ORDER BY id FOR NO KEY UPDATE
),
done AS (
	UPDATE "latchkey".keys AS k SET name_key = d.name_key, listed = d.revision, behind = false
	FROM there JOIN unnest($1::text[], $2::bigint[], $3::bytea[]) AS d (id, revision, name_key) ON d.id COLLATE "C" = there.id
	WHERE k.id = there.id AND k.revision = d.revision
	RETURNING k.id, k.owner, k.environment
),
new AS MATERIALIZED (
	SELECT done.id, t.word, done.owner, done.environment
	FROM done JOIN unnest($4::text[], $5::bytea[]) AS t (id, word) ON t.id COLLATE "C" = done.id
),
unsaid AS (
	DELETE FROM "latchkey".words AS w USING done
	WHERE w.key_id = done.id AND NOT EXISTS (SELECT FROM new WHERE new.id = w.key_id AND new.word = w.word)
),
said AS (
	INSERT INTO "latchkey".words AS w (key_id, word, owner, environment) SELECT id, word, owner, environment FROM new
	ON CONFLICT (key_id, word) DO UPDATE SET owner = excluded.owner, environment = excluded.environment
)
SELECT count(*) FROM done`

// catchUp writes all missing names, some hundred per transaction, so that
// nobody waits long for it. If none is missing, it only reads an empty index.
func (n *names) catchUp(ctx context.Context) error {
	for {
		more, err := n.batch(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// batch writes the first missing names and reports whether there were any.
func (n *names) batch(ctx context.Context) (more bool, err error) {
	const size = 500
	found, err := n.pool.Query(ctx, n.sql.behind, int64(size))
	if err != nil {
		return false, err
	}
	rows, err := pgx.CollectRows(found, func(from pgx.CollectableRow) (r row, err error) { err = r.scan(from); return r, err })
	if err != nil || len(rows) == 0 {
		return false, err
	}
	var (
		ids, whose []string
		revisions  []int64
		keys, said [][]byte
	)
	for _, r := range rows {
		key := []byte{} // for a damaged record, which is not listed anywhere
		if record, err := r.decode(); err != nil {
			n.log.ErrorContext(ctx, "pgstore: a record that cannot be read has no name to be listed by", "error", err)
		} else {
			key = storage.NameKey(record.Key.Name)
			for _, word := range wordsOf(&record.Key) {
				whose, said = append(whose, r.id), append(said, word)
			}
		}
		ids, revisions, keys = append(ids, r.id), append(revisions, r.revision), append(keys, key)
	}
	err = ours{n.pool}.run(ctx, n.sql.catchUp, []any{ids, revisions, keys, whose, said}, func(from pgx.Row) error {
		var done int64
		return from.Scan(&done)
	})
	if rolledBack(err) {
		err = nil // try again
	}
	return true, err
}
