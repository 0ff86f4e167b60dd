package histories

import (
	"context"
	"crypto/rand"
	"log/slog"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
	"github.com/wontopos/latchkey/storage/memstore"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var (
	quiet = slog.New(slog.DiscardHandler)
	by    = apikey.Actor{ID: "ann@example.com"}
)

// world is what the clients of all histories of a test share: instances on one
// store, and what goes on there besides.
type world struct {
	instances []*latchkey.Service
	store     storage.Store // of another process, which only creates
	early     bool          // verify keys before they are created
	mint      *latchkey.Service
	minted    *memstore.Store
	others    []string // tokens of keys that nobody changes; they push those of the histories out of the cache
	fence     string   // a key that is changed when a history ends
}

// others is enough that each of the 64 shards of the cache, which then hold a
// key each, is wanted by several.
const others = 256

// newWorld makes an instance on each store; they are one database.
func newWorld(t testing.TB, stores ...storage.Store) *world {
	t.Helper()
	w := &world{minted: memstore.New()}
	w.mint = instance(t, w.minted)
	for i, s := range stores {
		s = slowed(s, uint64(i))
		w.instances = append(w.instances, instance(t, s))
		w.store = s
	}
	w.others = make([]string, others)
	for i := range w.others {
		w.others[i] = w.other(t).text
	}
	w.fence = w.other(t).id
	return w
}

type madeKey struct{ id, text string }

func (w *world) other(t testing.TB) madeKey {
	t.Helper()
	k, token, err := w.instances[0].Create(t.Context(), by, latchkey.NewKey{Name: "other", Owner: "acme"})
	must(t, err)
	return madeKey{k.ID, token.Reveal()}
}

func instance(t testing.TB, s storage.Store) *latchkey.Service {
	t.Helper()
	keys, err := latchkey.New(s, latchkey.Options{CacheSize: 1, Logger: quiet})
	must(t, err)
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	return keys
}

// unborn makes a key that is not in the store yet, and the change that creates it.
func (w *world) unborn(ctx context.Context, scope string) (token string, c storage.Change, err error) {
	k, minted, err := w.mint.Create(ctx, by, newKey(scope))
	if err != nil {
		return "", c, err
	}
	r, err := w.minted.Get(ctx, k.ID)
	return minted.Reveal(), storage.Change{Record: r, Entry: apikey.AuditEntry{
		At: k.CreatedAt, Actor: by.ID, Action: "create", KeyID: k.ID, Owner: k.Owner,
	}}, err
}

func newKey(scope string) latchkey.NewKey {
	return latchkey.NewKey{Name: "subject", Owner: "acme", Scopes: []string{scope}}
}

// passFence returns when every instance has come to all that was committed
// before: a change of any key waits for that.
func (w *world) passFence(ctx context.Context) (err error) {
	for range 10 { // its answer may be lost
		name := rand.Text()
		if _, err = w.instances[0].Update(ctx, by, w.fence, latchkey.Update{Name: &name}); err == nil {
			return nil
		}
	}
	return err
}

// worlds are what the test tries. With one instance a key has to be one atomic
// object besides.
var worlds = []struct {
	name   string
	atomic bool
	open   func(t testing.TB) *world
}{
	{"memory", true, func(t testing.TB) *world {
		w := newWorld(t, memstore.New())
		w.early = true
		return w
	}},
	{"badger", true, func(t testing.TB) *world {
		s, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Logger: quiet})
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		w := newWorld(t, s)
		w.early = true
		return w
	}},
	{"postgres", true, func(t testing.TB) *world { return newWorld(t, postgres(t, pgtest.DSN(t))) }},
	{"two instances on postgres", false, func(t testing.TB) *world {
		dsn := pgtest.DSN(t)
		w := newWorld(t, postgres(t, dsn), postgres(t, dsn))
		w.early = true
		return w
	}},
}

func postgres(t testing.TB, dsn string) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), dsn, pgstore.Options{AutoMigrate: true, Logger: quiet})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
