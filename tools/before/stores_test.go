package before_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var quiet = slog.New(slog.DiscardHandler)

// restart is how long after its end the data is opened again: limits still count, and the hour is mostly the same.
const restart = time.Minute

// opener opens the store, and the limiter, if that is shared.
type opener func(t *testing.T) (storage.Store, limiter.Limiter, func() error)

// In a bubble it is the time of the fixture: what it holds has not expired.
func TestADirectoryOfTheVersionBeforeServesAsItDid(t *testing.T) {
	const data = "../../storage/badgerstore/testdata/"
	for _, format := range []string{"format3"} {
		t.Run(format, func(t *testing.T) {
			f, dir := readFixture(t, data+format+".json"), filepath.Join(t.TempDir(), "keys")
			must(t, os.CopyFS(dir, os.DirFS(data+format)))
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(f.Written.Add(restart)))
				open := func(t *testing.T) (storage.Store, limiter.Limiter, func() error) {
					s, err := badgerstore.Open(dir, badgerstore.Options{Logger: quiet})
					must(t, err)
					return s, nil, s.Close
				}
				serveAsBefore(t, f, open)
				time.Sleep(48 * time.Hour)
				endsInTime(t, f, open)
			})
		})
	}
}

// The database has the time of the fixture. The processes have today's, which it does not depend on.
func TestADatabaseOfTheVersionBeforeServesAsItDid(t *testing.T) {
	const data = "../../storage/pgstore/testdata/"
	for _, schema := range []string{"schema5"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			f, dsn := readFixture(t, data+schema+".json"), pgtest.DSN(t)
			dump, err := os.ReadFile(data + schema + ".sql")
			must(t, err)
			conn, err := pgx.Connect(t.Context(), dsn)
			must(t, err)
			defer conn.Close(t.Context())
			_, err = conn.PgConn().Exec(t.Context(), string(dump)).ReadAll()
			must(t, err)
			// Names are looked up in this schema first.
			ago := time.Since(f.Written.Add(restart)).Microseconds()
			_, err = conn.PgConn().Exec(t.Context(), fmt.Sprintf(`CREATE SCHEMA past;
				CREATE FUNCTION past.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
					'SELECT pg_catalog.clock_timestamp() - %d * interval ''1 microsecond''';
				DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET search_path = past, pg_catalog, public', current_database()); END $$`, ago)).ReadAll()
			must(t, err)
			serveAsBefore(t, f, func(t *testing.T) (storage.Store, limiter.Limiter, func() error) {
				s, err := pgstore.Open(t.Context(), dsn, pgstore.Options{AutoMigrate: true, Logger: quiet})
				must(t, err)
				l, err := pgstore.NewLimiter(s, pgstore.LimiterOptions{Timeout: time.Minute, Logger: quiet})
				must(t, err)
				return s, l, s.Close
			})
		})
	}
}
