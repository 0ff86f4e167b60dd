package latchkey_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// witness is a store that looks at everything it is asked.
type witness struct {
	storage.Store
	storage.Notifier
	wrong []string
}

// see walks a value and notes what not every store can take.
func (w *witness) see(at string, v reflect.Value) {
	if t, ok := v.Interface().(time.Time); ok {
		if !t.IsZero() && !bounds.Time(t) {
			w.wrong = append(w.wrong, fmt.Sprint(at, " is ", t))
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); len(s) > 64<<10 || !bounds.Storable(s) {
			w.wrong = append(w.wrong, fmt.Sprintf("%s is %d bytes, %.20q", at, len(s), s))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[netip.Prefix]() || v.Type() == reflect.TypeFor[storage.Position]() { // a place is the store's own
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				w.see(at+"."+f.Name, v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			w.see(at+"[]", v.Index(i))
		}
	case reflect.Map:
		for _, name := range v.MapKeys() {
			w.see(at+"[]", name)
			w.see(at+"[]", v.MapIndex(name))
		}
	}
}

func (w *witness) Get(ctx context.Context, id string) (storage.Record, error) {
	w.see("Get: id", reflect.ValueOf(id))
	return w.Store.Get(ctx, id)
}

func (w *witness) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	w.see("Apply: Change", reflect.ValueOf(c))
	return w.Store.Apply(ctx, c)
}

func (w *witness) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	w.see("List: Query", reflect.ValueOf(q))
	return w.Store.List(ctx, q)
}

func (w *witness) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	w.see("Audit: AuditQuery", reflect.ValueOf(q))
	return w.Store.Audit(ctx, q)
}

func (w *witness) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	w.see("Usage: id", reflect.ValueOf(id))
	w.see("Usage: since", reflect.ValueOf(since))
	return w.Store.Usage(ctx, id, since)
}

func (w *witness) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	w.see("Activity: ids", reflect.ValueOf(ids))
	w.see("Activity: since", reflect.ValueOf(since))
	return w.Store.Activity(ctx, ids, since)
}

// oddities returns values of a type, some of which not every store can take.
func oddities(of reflect.Type) (all []any) {
	switch of {
	case reflect.TypeFor[time.Time]():
		return []any{at2to20, at2to20.AddDate(-2<<20, 0, 0), time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}.Add(1), time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0)}
	case reflect.TypeFor[netip.Prefix]():
		return []any{netip.Prefix{}, netip.PrefixFrom(netip.MustParseAddr("fe80::1%eth0"), 64)}
	case reflect.TypeFor[netip.Addr]():
		return []any{netip.Addr{}}
	}
	switch of.Kind() {
	case reflect.String:
		return []any{"", "a\x00b", "\xff", "\xed\xa0\x80", "\u202e", strings.Repeat("x", 1<<20)}
	case reflect.Int, reflect.Int64:
		return []any{math.MinInt, -1, math.MaxInt}
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return []any{-1} // the largest
	case reflect.Bool:
		return []any{true}
	}
	return nil
}

// eachOddity calls f with v holding each oddity at each of its places in turn,
// and otherwise what it held before.
func eachOddity(at string, v reflect.Value, f func(at string)) {
	for _, odd := range oddities(v.Type()) {
		before := reflect.ValueOf(v.Interface())
		v.Set(reflect.ValueOf(odd).Convert(v.Type()))
		f(fmt.Sprintf("%s %.20q", at, fmt.Sprint(odd)))
		v.Set(before)
	}
	if len(oddities(v.Type())) > 0 {
		return
	}
	before := reflect.ValueOf(v.Interface())
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				eachOddity(at+"."+field.Name, v.Field(i), f)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		eachOddity(at, v.Elem(), f)
		v.Set(before)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		eachOddity(at+"[]", v.Index(0), f)
		v.Set(before)
	case reflect.Map:
		for _, part := range []string{"name", "value"} {
			name, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			name.SetString("name")
			odd := map[string]reflect.Value{"name": name, "value": value}[part]
			eachOddity(at+" "+part, odd, func(at string) {
				v.Set(reflect.MakeMap(v.Type()))
				v.SetMapIndex(name, value)
				f(at)
			})
		}
		v.Set(before)
	}
}

// TestStoresAreAskedForWhatTheyCanHave: whatever a caller passes to any method
// of a service, in any field of any request, no store gets a time, a text or a
// network that it need not be able to represent, and none fails.
func TestStoresAreAskedForWhatTheyCanHave(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	w := &witness{Store: mem, Notifier: mem}
	keys, err := latchkey.New(w, latchkey.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close(context.Background()) })
	ctx, by := t.Context(), apikey.Actor{ID: "ann"}
	service, calls := reflect.ValueOf(keys), 0
	for i := range service.NumMethod() {
		name, method := service.Type().Method(i).Name, service.Method(i)
		if method.Type().NumIn() == 0 || method.Type().In(0) != reflect.TypeFor[context.Context]() || name == "Close" {
			continue
		}
		args := []reflect.Value{reflect.ValueOf(ctx)}
		for n := 1; n < method.Type().NumIn(); n++ {
			args = append(args, reflect.New(method.Type().In(n)).Elem())
		}
		plain := func() { // arguments that the method takes
			k, _, err := keys.Create(ctx, by, latchkey.NewKey{Name: "n", Owner: "o"})
			if err != nil {
				t.Fatal(err)
			}
			for _, arg := range args[1:] {
				switch arg.Interface().(type) {
				case apikey.Actor:
					arg.Set(reflect.ValueOf(by))
				case latchkey.NewKey:
					arg.Set(reflect.ValueOf(latchkey.NewKey{Name: "n", Owner: "o"}))
				case latchkey.Question:
					arg.Set(reflect.ValueOf(latchkey.Question{KeyID: k.ID}))
				case time.Duration:
					arg.SetInt(int64(latchkey.MinPurgeAge))
				case string:
					arg.SetString(k.ID)
				case []string:
					arg.Set(reflect.ValueOf([]string{k.ID}))
				}
			}
		}
		for n, arg := range args[1:] {
			plain()
			eachOddity(fmt.Sprintf("%s, argument %d", name, n+1), arg, func(at string) {
				w.wrong = nil
				results := method.Call(args)
				calls++
				err, _ := results[len(results)-1].Interface().(error)
				switch code := apikey.CodeOf(err); code {
				case apikey.Internal, apikey.Unavailable, apikey.Closed:
					t.Errorf("%s fails: %v", at, err)
				}
				for _, wrong := range w.wrong {
					t.Errorf("%s reaches the store: %s", at, wrong)
				}
			})
		}
	}
	odd := []string{"a\x00b", strings.Repeat("x", 1<<20)}
	if all, err := keys.Activity(ctx, odd, time.Now()); err != nil || len(all) != 2 || all[0].ID != odd[0] || all[1].ID != odd[1] {
		t.Errorf("each id has its activity, whatever it is: %d, %v", len(all), err)
	}
	if calls < 300 {
		t.Errorf("only %d calls were tried: this test proves little", calls)
	}
}
