package sqlitestore

import (
	"path/filepath"
	"testing"

	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(t testing.TB) storage.Store { return openAt(t, filepath.Join(t.TempDir(), "keys.sqlite")) },
		Reopen: func(t testing.TB, s storage.Store) storage.Store {
			path := pathOf(t, s.(*Store))
			if err := s.(*Store).Close(); err != nil {
				t.Fatal(err)
			}
			return openAt(t, path)
		},
		Compact: func(t testing.TB, s storage.Store) {
			run(t, s.(*Store), `PRAGMA wal_checkpoint(TRUNCATE)`)
			run(t, s.(*Store), `VACUUM`)
		},
		Corrupt: func(t testing.TB, s storage.Store, id string) {
			run(t, s.(*Store), `UPDATE keys SET record = substr(record, 1, length(record) - 5) || x'0000000000' WHERE id = ?`, id)
		},
		Notifies: true,
		Closes:   true,
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(t testing.TB) storage.Store { return openAt(t, filepath.Join(t.TempDir(), "keys.sqlite")) })
}

func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func pathOf(t testing.TB, s *Store) (path string) {
	t.Helper()
	if err := s.write.QueryRow(`SELECT file FROM pragma_database_list`).Scan(&path); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t testing.TB, s *Store, statement string, args ...any) {
	t.Helper()
	if _, err := s.write.Exec(statement, args...); err != nil {
		t.Fatal(err)
	}
}
