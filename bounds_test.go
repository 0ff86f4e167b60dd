package latchkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
	"github.com/wontopos/latchkey/storage/memstore"
	"pgregory.net/rapid"
)

// at2to20 is in a year that microseconds of an int64 do not reach.
var at2to20 = time.Date(1<<20, 1, 1, 0, 0, 0, 0, time.UTC)

// someTime draws instants, most of them at the edges of what can be told.
func someTime() *rapid.Generator[time.Time] {
	edges := []time.Time{
		{},
		time.Time{}.Add(1), time.Time{}.Add(time.Microsecond), time.Unix(0, 0), time.Now().Add(time.Hour), at2to20,
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -5*3600)),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.FixedZone("", 14*3600)), time.Date(294277, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0),
	}
	return rapid.OneOf(rapid.SampledFrom(edges), rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64().Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanoseconds"))
	}))
}

// someText draws texts with what some store or answer cannot have.
func someText() *rapid.Generator[string] {
	odd := []string{"", " ", "x", "\x00", "a\nb", "\xff", "\u202eevil", "\u2028", "\u2066", "é", "😀", "\ufffd", strings.Repeat("😀", 128), strings.Repeat("é", 257)}
	return rapid.OneOf(rapid.SampledFrom(odd), rapid.String(), rapid.StringN(0, 600, -1))
}

func someNewKey(t *rapid.T) latchkey.NewKey {
	n := latchkey.NewKey{Name: "name", Owner: "owner"}
	if rapid.Bool().Draw(t, "odd name") {
		n.Name = someText().Draw(t, "name")
	}
	if rapid.Bool().Draw(t, "odd owner") {
		n.Owner = someText().Draw(t, "owner")
	}
	if rapid.Bool().Draw(t, "expires") {
		n.ExpiresAt = someTime().Draw(t, "expires_at")
	}
	n.Metadata = rapid.MapOfN(someText(), someText(), 0, 3).Draw(t, "metadata")
	networks := []netip.Prefix{
		{},
		netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("::ffff:10.0.0.0/104"), netip.MustParsePrefix("::ffff:10.0.0.0/90"), netip.MustParsePrefix("::/0"),
		netip.PrefixFrom(netip.MustParseAddr("fe80::1%eth0"), 64),
	}
	n.Networks = rapid.SliceOfN(rapid.SampledFrom(networks), 0, 2).Draw(t, "networks")
	if rapid.Bool().Draw(t, "own limits") {
		n.Limits = []apikey.Limit{{Name: "minute", N: rapid.Int64().Draw(t, "n"), Window: time.Duration(rapid.Int64().Draw(t, "window"))}}
		if rapid.Bool().Draw(t, "good") {
			n.Limits[0].N, n.Limits[0].Window = 1e9, apikey.MaxLimitWindow
		}
	}
	return n
}

// eachStore runs a test on every store of the root module.
func eachStore(t *testing.T, test func(t *testing.T, keys *latchkey.Service, store storage.Store)) {
	for name, open := range map[string]func(t *testing.T) storage.Store{
		"mem": func(*testing.T) storage.Store { return memstore.New() },
		"badger": func(t *testing.T) storage.Store {
			s, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			keys, err := latchkey.New(store, latchkey.Options{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { keys.Close(context.Background()) })
			test(t, keys, store)
		})
	}
}

// told fails when something of a service cannot be told.
func told(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, what any, err error,
) {
	t.Helper()
	if err == nil {
		_, err = json.Marshal(what)
	}
	if err != nil {
		t.Fatalf("what is accepted can be told: %v", err)
	}
}

// TestWhatIsAcceptedReadsBack: what Create and Update return is what Get returns, and no key keeps others from being
// listed, changed and revoked.
func TestWhatIsAcceptedReadsBack(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, keys *latchkey.Service, _ storage.Store) {
		rapid.Check(t, func(rt *rapid.T) {
			ctx, by := t.Context(), apikey.Actor{ID: "ann"}
			k, _, err := keys.Create(ctx, by, someNewKey(rt))
			if err != nil {
				if code := apikey.CodeOf(err); code != apikey.InvalidArgument {
					rt.Fatalf("a value that is not taken is the caller's mistake, not %v", err)
				}
				return
			}
			same := func(k apikey.Key) {
				got, err := keys.Get(ctx, k.ID)
				told(rt, got, err)
				if d := cmp.Diff(k, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
					rt.Fatalf("Get returns what was accepted (-accepted +got):\n%s", d)
				}
			}
			same(k)
			n := someNewKey(rt)
			u := latchkey.Update{Name: &n.Name, Networks: &n.Networks, Metadata: &n.Metadata, ExpiresAt: &n.ExpiresAt, Limits: &n.Limits}
			if updated, err := keys.Update(ctx, by, k.ID, u); err == nil {
				same(updated)
			} else if apikey.CodeOf(err) != apikey.InvalidArgument {
				rt.Fatalf("a value that is not taken is the caller's mistake, not %v", err)
			}
			page, err := keys.List(ctx, latchkey.ListRequest{Owner: k.Owner})
			told(rt, page, err)
			trail, err := keys.Audit(ctx, apikey.AuditQuery{KeyID: k.ID})
			told(rt, trail, err)
			if _, err := keys.Revoke(ctx, by, k.ID, "done"); err != nil {
				rt.Fatalf("every key can be revoked: %v", err)
			}
		})
	})
}

// TestQueriesOfAnyTime: an instant that nobody can tell is refused by the service, and means itself to a store.
func TestQueriesOfAnyTime(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, keys *latchkey.Service, store storage.Store) {
		ctx := t.Context()
		k, _, err := keys.Create(ctx, apikey.Actor{ID: "ann"}, latchkey.NewKey{Name: "n", Owner: "o", ExpiresAt: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.AddUsage(ctx, []storage.UsageDelta{{KeyID: k.ID, Secret: 1, Hour: time.Now().UTC(), Counts: apikey.Counts{Allowed: 1}, Last: apikey.LastUse{At: time.Now()}}}); err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Time{at2to20, at2to20.AddDate(-2<<20, 0, 0), time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0)} {
			_, usage := keys.Usage(ctx, k.ID, at)
			_, activity := keys.Activity(ctx, []string{k.ID}, at)
			_, unused := keys.List(ctx, latchkey.ListRequest{UnusedSince: at})
			_, expires := keys.List(ctx, latchkey.ListRequest{ExpiresBefore: at})
			_, secret := keys.List(ctx, latchkey.ListRequest{SecretBefore: at})
			for field, err := range map[string]error{"usage": usage, "activity": activity, "unused": unused, "expires": expires, "secret": secret} {
				if !errors.Is(err, apikey.InvalidArgument) {
					t.Errorf("%s at %v: %v, want an invalid argument", field, at, err)
				}
			}
			hours := 1
			if at.After(time.Now()) {
				hours = 0
			}
			u, err := store.Usage(ctx, k.ID, at)
			a, err2 := store.Activity(ctx, []string{k.ID}, at)
			if err != nil || err2 != nil || len(u.Hours) != hours || len(a[0].Days) != hours {
				t.Errorf("store: usage since %v has %d hours and %d days, want %d; %v %v", at, len(u.Hours), len(a[0].Days), hours, err, err2)
			}
			l, err := store.List(ctx, storage.Query{ExpiresBefore: at})
			if want := 1 - hours; err != nil || len(l.Records) != want {
				t.Errorf("store: %d keys expire before %v, want %d; %v", len(l.Records), at, want, err)
			}
		}
	})
}

// wrongStore answers with a record that another program wrote.
type wrongStore struct {
	storage.Store
	storage.Notifier
	spoil func(r *storage.Record)
}

func (s wrongStore) Get(ctx context.Context, id string) (storage.Record, error) {
	r, err := s.Store.Get(ctx, id)
	if err == nil {
		s.spoil(&r)
	}
	return r, err
}

func (s wrongStore) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	l, err := s.Store.List(ctx, q)
	for i := range l.Records {
		s.spoil(&l.Records[i])
	}
	return storage.Listing{Records: append(l.Records, storage.Record{Key: apikey.Key{ID: "lost"}}), Next: l.Next}, err
}

func (s wrongStore) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	entries, err := s.Store.Audit(ctx, q)
	for i := range entries {
		entries[i].At = at2to20
	}
	return entries, err
}

// TestWhatIsStoredWronglyIsTold: a record that an older program wrote is told as far as it can be, never breaks a list,
// keeps its networks and its owner to itself, and can be revoked.
func TestWhatIsStoredWronglyIsTold(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	wrong := wrongStore{store, store, func(r *storage.Record) {
		r.Key.ExpiresAt, r.Key.CreatedAt, r.Key.DisabledAt = at2to20, at2to20, time.Unix(math.MinInt64/2, 0)
		r.Key.Owner, r.Key.Name, r.Key.Networks = "acme\xff", "a\x00b", make([]netip.Prefix, 1)
		r.Key.Metadata = map[string]string{"\xfe": "\xff"}
		r.Key.Secrets[0].CreatedAt = at2to20
		r.Key.CreatedBy = "sk_live_0123456789abcdef_abcdefghijklmnop"
	}}
	keys, err := latchkey.New(wrong, latchkey.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close(context.Background())
	ctx, by := t.Context(), apikey.Actor{ID: "ann"}
	k, token, err := keys.Create(ctx, by, latchkey.NewKey{Name: "n", Owner: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := keys.Get(ctx, k.ID)
	told(t, got, err)
	if strings.Contains(got.CreatedBy, "abcdefgh") {
		t.Errorf("a secret that an older program took is not told: %q", got.CreatedBy)
	}
	if got.Owner == "acme" || got.ExpiresAt.Year() != 9999 || got.DisabledAt.IsZero() || len(got.Networks) != 1 {
		t.Errorf("a record is told as far as it can be, and gives nothing away: %+v", got)
	}
	v, err := engine.Of(keys).Verify(ctx, token.Reveal())
	if !errors.Is(err, apikey.DisabledKey) || v.AllowsNetwork(netip.MustParseAddr("192.0.2.1")) {
		t.Errorf("a key that was bound to a network stays bound: %v", err)
	}
	page, err := keys.List(ctx, latchkey.ListRequest{})
	told(t, page, err)
	if len(page.Keys) != 1 {
		t.Errorf("a record that has lost its secrets is left out, the others are there: %d keys", len(page.Keys))
	}
	trail, err := keys.Audit(ctx, apikey.AuditQuery{})
	told(t, trail, err)
	if _, err := keys.Revoke(ctx, by, k.ID, ""); err != nil {
		t.Errorf("a key that was stored wrongly can be revoked: %v", err)
	}
	if r, err := store.Get(ctx, k.ID); err != nil || r.Key.RevokedAt.IsZero() {
		t.Errorf("and is: %+v, %v", r.Key, err)
	}
}

// TestStoresRefuseWhatCannotBeTold tries it beneath the service.
func TestStoresRefuseWhatCannotBeTold(t *testing.T) {
	t.Parallel()
	good := storage.Change{
		Record: storage.Record{Key: apikey.Key{ID: "key", Secrets: make([]apikey.Secret, 1)}, Digests: make([]storage.Digest, 1)},
		Entry:  apikey.AuditEntry{KeyID: "key"},
	}
	if err := storage.CheckChange(nil, good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *storage.Change){
		"a time":            func(c *storage.Change) { c.Record.Key.ExpiresAt = at2to20 },
		"a secret's time":   func(c *storage.Change) { c.Record.Key.Secrets[0].EndsAt = time.Unix(math.MinInt64/2, 0) },
		"an entry's time":   func(c *storage.Change) { c.Entry.At = at2to20 },
		"a name":            func(c *storage.Change) { c.Record.Key.Name = "\xff" },
		"a scope":           func(c *storage.Change) { c.Record.Key.Scopes = []string{"a\x00"} },
		"a limit's unit":    func(c *storage.Change) { c.Record.Key.Limits = []apikey.Limit{{Unit: "\xff"}} },
		"a limit's zone":    func(c *storage.Change) { c.Record.Key.Limits = []apikey.Limit{{Zone: "\x00"}} },
		"a metadata's name": func(c *storage.Change) { c.Record.Key.Metadata = map[string]string{"\xff": ""} },
		"a detail":          func(c *storage.Change) { c.Entry.Details = map[string]string{"a": "\x00"} },
		"a network":         func(c *storage.Change) { c.Record.Key.Networks = make([]netip.Prefix, 1) },
	} {
		c := good
		c.Record = good.Record.Clone()
		spoil(&c)
		if err := storage.CheckChange(nil, c); !errors.Is(err, apikey.InvalidArgument) {
			t.Errorf("%s that cannot be told: %v", name, err)
		}
	}
}
