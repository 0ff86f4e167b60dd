package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/storage"
)

// layout is the version of the schema, kept in the file's user_version.
const layout = 1

// The record is a blob in the encoding of package storage, which detects damage
// and reads every earlier version. Columns repeat only what a statement selects or
// sorts by. SQLite compares text byte by byte, as the contract asks. Times are
// microseconds since 1970.
const schema = `
CREATE TABLE life (began INTEGER NOT NULL);

CREATE TABLE keys (
	id          TEXT PRIMARY KEY,
	owner       TEXT NOT NULL,
	environment TEXT NOT NULL,
	created_at  INTEGER NOT NULL,
	name_key    BLOB NOT NULL, -- storage.NameKey
	record      BLOB NOT NULL
);
CREATE INDEX keys_by_time ON keys (created_at, id);
CREATE INDEX keys_by_name ON keys (name_key, id);
CREATE INDEX keys_of_owner_by_time ON keys (owner, created_at, id);
CREATE INDEX keys_of_owner_by_name ON keys (owner, name_key, id);

CREATE TABLE audit (
	seq    INTEGER PRIMARY KEY, -- SQLite's rowid: it rises, because no entry is ever deleted
	key_id TEXT NOT NULL,
	owner  TEXT NOT NULL,
	entry  BLOB NOT NULL
);
CREATE INDEX audit_of_key ON audit (key_id, seq);
CREATE INDEX audit_of_owner ON audit (owner, seq);

CREATE TABLE hours (
	key_id TEXT NOT NULL,
	hour   INTEGER NOT NULL,
	secret INTEGER NOT NULL,
	counts BLOB NOT NULL,
	PRIMARY KEY (key_id, hour, secret)
) WITHOUT ROWID;
CREATE INDEX hours_by_age ON hours (hour);

CREATE TABLE secrets (
	key_id  TEXT NOT NULL,
	secret  INTEGER NOT NULL,
	counts  BLOB NOT NULL, -- of all time
	last_at INTEGER NOT NULL,
	last    BLOB NOT NULL, -- apikey.LastUse without its time, as JSON
	PRIMARY KEY (key_id, secret)
) WITHOUT ROWID;

CREATE TABLE scopes (
	key_id TEXT NOT NULL,
	scope  TEXT NOT NULL,
	hour   INTEGER NOT NULL,
	PRIMARY KEY (key_id, scope)
) WITHOUT ROWID;

CREATE TABLE windows (
	subject BLOB PRIMARY KEY,
	state   BLOB NOT NULL,
	until   INTEGER NOT NULL
) WITHOUT ROWID;
`

// prepare creates the tables in an empty file, refuses a file of another layout,
// and reads what the store keeps in memory.
func (s *Store) prepare(ctx context.Context) error {
	return s.change(ctx, "open", func(ctx context.Context, tx *sql.Tx) error {
		var version, tables int
		err := tx.QueryRowContext(ctx, `SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version`).Scan(&version, &tables)
		switch {
		case err != nil:
			return err
		case version == 0 && tables == 0:
			if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d;", layout)+schema); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO life (began) VALUES (?)`, micro(time.Now())); err != nil {
				return err
			}
		case version != layout:
			return fmt.Errorf("the file has layout %d, or is not this package's: this program knows layout %d", version, layout)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM windows WHERE until < ?`, micro(time.Now())); err != nil {
			return err
		}
		var began int64
		err = tx.QueryRowContext(ctx, `SELECT began FROM life`).Scan(&began)
		s.began = fromMicro(began)
		return err
	})
}

// micro is how times are stored; the zero time comes back as the zero time.
func micro(t time.Time) int64     { return storage.NormalizeTime(t).UnixMicro() }
func fromMicro(n int64) time.Time { return time.UnixMicro(n).UTC() }
