package badgerstore_test

import (
	"log/slog"
	"testing"

	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
	"github.com/wontopos/latchkey/storage/storetest"
)

type opener func(dir string, o badgerstore.Options) (*badgerstore.Store, error)

func harness(open opener) storetest.Harness {
	at := func(t testing.TB, dir string) storage.Store {
		s, err := open(dir, badgerstore.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	must := func(t testing.TB, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return storetest.Harness{
		Open: func(t testing.TB) storage.Store { return at(t, t.TempDir()) },
		Reopen: func(t testing.TB, s storage.Store) storage.Store {
			must(t, s.(*badgerstore.Store).Close())
			return at(t, s.(*badgerstore.Store).Dir())
		},
		Compact:  func(t testing.TB, s storage.Store) { must(t, s.(*badgerstore.Store).Maintain(t.Context())) },
		Corrupt:  func(t testing.TB, s storage.Store, id string) { must(t, s.(*badgerstore.Store).Damage(id)) },
		Notifies: true,
		Closes:   true,
	}
}

func TestStore(t *testing.T) { storetest.Run(t, harness(badgerstore.Open)) }

// With small tables the suite also sees memtables rotate, tables compact and
// large values move to the value log; with small bounds it sees pages that are
// short, and terms that are too many to look up.
func TestStoreOfSmallTablesAndBounds(t *testing.T) {
	storetest.Run(t, harness(func(dir string, o badgerstore.Options) (*badgerstore.Store, error) {
		s, err := badgerstore.OpenTuned(dir, o)
		if err == nil {
			s.LookAtLittle()
		}
		return s, err
	}))
}

func BenchmarkStore(b *testing.B) { storetest.Bench(b, harness(badgerstore.Open).Open) }

func BenchmarkList100k(b *testing.B) {
	storetest.BenchList(b, func(t testing.TB, records []storage.Record) storage.Store {
		s := harness(badgerstore.Open).Open(t).(*badgerstore.Store)
		if err := s.Fill(records); err != nil {
			t.Fatal(err)
		}
		if err := s.Maintain(t.Context()); err != nil { // so that no compaction is measured
			t.Fatal(err)
		}
		return s
	})
}
