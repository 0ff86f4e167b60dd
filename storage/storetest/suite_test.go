package storetest

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// wrap is a store whose methods can be replaced one by one. It hides nothing of
// the store below, which [storage.As] finds through Unwrap.
type wrap struct {
	storage.Store
	get   func(context.Context, string) (storage.Record, error)
	apply func(context.Context, storage.Change) (uint64, error)
	list  func(context.Context, storage.Query) (storage.Listing, error)
	audit func(context.Context, apikey.AuditQuery) ([]apikey.AuditEntry, error)
	add   func(context.Context, []storage.UsageDelta) error
	usage func(context.Context, string, time.Time) (apikey.Usage, error)
	days  func(context.Context, []string, time.Time) ([]apikey.Activity, error)
}

func (w *wrap) Unwrap() storage.Store { return w.Store }

func (w *wrap) Get(ctx context.Context, id string) (storage.Record, error) {
	if w.get != nil {
		return w.get(ctx, id)
	}
	return w.Store.Get(ctx, id)
}

func (w *wrap) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	if w.apply != nil {
		return w.apply(ctx, c)
	}
	return w.Store.Apply(ctx, c)
}

func (w *wrap) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	if w.list != nil {
		return w.list(ctx, q)
	}
	return w.Store.List(ctx, q)
}

func (w *wrap) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	if w.audit != nil {
		return w.audit(ctx, q)
	}
	return w.Store.Audit(ctx, q)
}

func (w *wrap) AddUsage(ctx context.Context, b []storage.UsageDelta) error {
	if w.add != nil {
		return w.add(ctx, b)
	}
	return w.Store.AddUsage(ctx, b)
}

func (w *wrap) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	if w.usage != nil {
		return w.usage(ctx, id, since)
	}
	return w.Store.Usage(ctx, id, since)
}

func (w *wrap) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	if w.days != nil {
		return w.days(ctx, ids, since)
	}
	return w.Store.Activity(ctx, ids, since)
}

// notifier and closer replace the abilities of the store below.
type notifier struct {
	*wrap
	subscribe func(f func(storage.Notice)) func()
}

func (n notifier) Subscribe(f func(storage.Notice)) func() { return n.subscribe(f) }

type closer struct {
	*wrap
	close func() error
}

func (c closer) Close() error { return c.close() }

// memory is the harness of an unbroken store. Reopening gives the same one, so
// that wrappers see a restart.
func memory() Harness {
	return Harness{
		Open:     func(testing.TB) storage.Store { return memstore.New() },
		Notifies: true, Closes: true,
	}
}

func TestAnUnbrokenStorePasses(t *testing.T) {
	for _, c := range checks() {
		if c.skip(memory()) == "" {
			if err := c.against(t, memory()); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

func TestTheFullRecordHasNoZeroField(t *testing.T) {
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		if v.IsZero() && path != ".Key.Revision" {
			t.Errorf("full()%s is zero: the suite would not see that a store forgets it", path)
		}
		switch {
		case v.Kind() == reflect.Slice && v.Len() > 0 && v.Type().Elem().Kind() == reflect.Struct && strings.HasPrefix(v.Type().Elem().PkgPath(), reflect.TypeFor[apikey.Key]().PkgPath()):
			walk(path+"[0]", v.Index(0))
		case v.Kind() == reflect.Struct && v.Type().PkgPath() == reflect.TypeFor[apikey.Key]().PkgPath():
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	}
	walk("", reflect.ValueOf(full("key")))
}

func TestTheNamesOfTheChecksAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range checks() {
		if seen[c.name] {
			t.Errorf("two checks are named %q", c.name)
		}
		seen[c.name] = true
	}
}

// TestBrokenStoresFail proves the suite: each store breaks one rule, and the
// check of that rule must notice.
func TestBrokenStoresFail(t *testing.T) {
	for what, b := range brokenStores {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := memory()
			h.Open = func(testing.TB) storage.Store { return b.wrap(memstore.New()) }
			if b.harness != nil {
				b.harness(&h)
			}
			i := slices.IndexFunc(checks(), func(c check) bool { return c.name == b.fails })
			c := checks()[i]
			if why := c.skip(h); why != "" {
				t.Fatalf("%q is skipped: %s", c.name, why)
			}
			if c.against(t, h) == nil {
				t.Errorf("a store that %s passes %q", what, c.name)
			}
		})
	}
}

// TestEveryCheckHasItsBrokenStore keeps the table whole: a check that no broken
// store fails might check nothing.
func TestEveryCheckHasItsBrokenStore(t *testing.T) {
	proved := map[string]bool{}
	for _, b := range brokenStores {
		proved[b.fails] = true
	}
	for _, c := range checks() {
		if !proved[c.name] {
			t.Errorf("no broken store fails %q", c.name)
		}
	}
	for name := range proved {
		if !slices.ContainsFunc(checks(), func(c check) bool { return c.name == name }) {
			t.Errorf("no check is named %q", name)
		}
	}
}

type brokenStore struct {
	fails   string
	wrap    func(m *memstore.Store) storage.Store
	harness func(h *Harness)
}

// only breaks a single method.
func only(edit func(m *memstore.Store, w *wrap)) func(*memstore.Store) storage.Store {
	return func(m *memstore.Store) storage.Store {
		w := &wrap{Store: m}
		edit(m, w)
		return w
	}
}
