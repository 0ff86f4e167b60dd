package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
	"github.com/wontopos/latchkey/storage/memstore"
)

// lived is a store with keys in every state, as a service leaves it.
type lived struct {
	storage.Store
	tokens map[string]latchkey.Token // that a service admits, by what they are
	once   latchkey.NewKey
}

func live(t *testing.T, from storage.Store, n int) lived {
	t.Helper()
	l := lived{Store: from, tokens: map[string]latchkey.Token{}, once: latchkey.NewKey{Name: "once", Owner: "acme", Once: "order 1"}}
	keys, by, ctx := service(t, from, latchkey.Options{}), apikey.Actor{ID: "ann", From: "10.0.0.1"}, t.Context()
	now := time.Now().UTC()
	usage := func(id string, secret uint32, at time.Time, route string) {
		must(t, from.AddUsage(ctx, []storage.UsageDelta{{
			KeyID: id, Secret: secret, Hour: at.Truncate(time.Hour), Counts: apikey.Counts{Allowed: 3, RateLimited: uint64(len(id)), Cut: 1},
			Last: apikey.LastUse{At: at, Network: "10.0.0.0/24", UserAgent: "curl\xff", Route: route, Status: 200}, Scopes: []string{"things:read"},
		}}))
	}
	for i := range n {
		k, token, err := keys.Create(ctx, by, latchkey.NewKey{
			Name: fmt.Sprintf("Back end %d", i), Owner: fmt.Sprintf("owner %d", i%7), Scopes: []string{"things:read"}, Metadata: map[string]string{"n": fmt.Sprint(i)},
		})
		must(t, err)
		switch i % 8 {
		case 0:
			l.tokens["a new key"] = token
		case 1:
			_, newer, err := keys.Rotate(ctx, by, k.ID, latchkey.RotateOptions{})
			must(t, err)
			l.tokens["the old secret of a rotation"], l.tokens["the new secret of a rotation"] = token, newer
			usage(k.ID, 2, now.Add(-time.Hour), "GET /new")
		case 2:
			_, err = keys.Revoke(ctx, by, k.ID, "leaked")
		case 3:
			_, err = keys.Disable(ctx, by, k.ID, "not paid")
		case 4: // expired
			r, err := from.Get(ctx, k.ID)
			must(t, err)
			r.Key.ExpiresAt = now.Add(-time.Minute)
			_, err = from.Apply(ctx, storage.Change{Record: r, Expect: r.Key.Revision, Entry: apikey.AuditEntry{At: now, Actor: "ann", Action: "update", KeyID: k.ID, Owner: k.Owner}})
			must(t, err)
		case 5:
			k, err := keys.Revoke(ctx, by, k.ID, "")
			must(t, err)
			_, err = from.Apply(ctx, storage.Change{
				Record: storage.Record{Key: k}, Expect: k.Revision, Delete: true,
				Entry: apikey.AuditEntry{At: now, Actor: "ann", Action: "purge", KeyID: k.ID, Owner: k.Owner},
			})
			must(t, err)
			continue
		}
		must(t, err)
		usage(k.ID, 1, now.Add(-50*24*time.Hour), "GET /old")
		usage(k.ID, 1, now.Add(-time.Duration(i)*24*time.Hour/10), "GET /things")
		usage(k.ID, 1, now.Add(-time.Duration(i)*24*time.Hour/20), "GET /things")
	}
	_, _, err := keys.Create(ctx, by, l.once)
	must(t, err)
	must(t, keys.Close(ctx))
	return l
}

func badger(t *testing.T) *badgerstore.Store {
	t.Helper()
	s, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Logger: quiet})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// What moves from Badger to PostgreSQL is everything that a service, or a person
// who looks at its page, can tell about its keys.
func TestACopyOfBadgerTellsTheSame(t *testing.T) {
	from, to := live(t, badger(t), 400), newStore(t)
	must(t, to.CopyFrom(t.Context(), from))

	// Not by CopyFrom's own comparison: by all that a store answers.
	at, since := time.Now(), time.Now().Add(-30*24*time.Hour)
	for _, q := range []storage.Query{
		{},
		{Order: storage.OldestFirst},
		{Order: storage.ByName},
		{Owner: "owner 3"},
		{Search: "back"},
		{Search: "399"},
		{State: apikey.Revoked},
		{State: apikey.Expired},
		{Rotating: true},
		{UnusedSince: at.Add(-24 * time.Hour)},
	} {
		if diff := cmp.Diff(listed(t, from, q), listed(t, to, q)); diff != "" {
			t.Errorf("List %+v differs (-badger +postgres):\n%s", q, diff)
		}
	}
	for _, r := range listed(t, from, storage.Query{}) {
		id := r.Key.ID
		if diff := cmp.Diff(toldOf(t, from, id, since), toldOf(t, to, id, since)); diff != "" {
			t.Fatalf("what is told of %s differs (-badger +postgres):\n%s", id, diff)
		}
	}
	if diff := cmp.Diff(trail(t, from), trail(t, to)); diff != "" {
		t.Errorf("the audit trail differs (-badger +postgres):\n%s", diff)
	}

	apply(t, to, changeOf("later", 0, nil))
	if got, last := trail(t, to)[0].Seq, trail(t, from)[0].Seq; got != last+1 {
		t.Errorf("the trail goes on with entry %d after %d", got, last)
	}

	// And by what a service makes of it.
	keys := service(t, to, latchkey.Options{})
	for what, token := range from.tokens {
		if err := verify(t, keys, token); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	by := apikey.Actor{ID: "ann"}
	if _, _, err := keys.Create(t.Context(), by, from.once); !errors.Is(err, apikey.AlreadyCreated) {
		t.Errorf("a creation that was made on the source is repeated: %v", err)
	}
}

func TestACopyNeedsAnEmptyStore(t *testing.T) {
	from, to := live(t, memstore.New(), 8), newStore(t)
	apply(t, to, changeOf("key", 0, nil))
	if err := to.CopyFrom(t.Context(), from); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a copy into a store with a key: %v", err)
	}
	apply(t, to, changeOf("key", 1, revoked))
	gone := changeOf("key", 2, revoked)
	gone.Delete = true
	apply(t, to, gone)
	if err := to.CopyFrom(t.Context(), from); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a copy into a store with the trail of a key that was purged: %v", err)
	}
}

// failing is a source with a fault.
type failing struct {
	storage.Store
	list  func(l storage.Listing) (storage.Listing, error)
	usage func()
}

func (f failing) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	l, err := f.Store.List(ctx, q)
	if err == nil && f.list != nil {
		return f.list(l)
	}
	return l, err
}

func (f failing) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	if f.usage != nil {
		f.usage()
	}
	return f.Store.Usage(ctx, id, since)
}

// A copy that fails leaves nothing, so that it can begin again.
func TestACopyIsWholeOrNothing(t *testing.T) {
	from, to := live(t, memstore.New(), 300), newStore(t)
	pages := 0
	err := to.CopyFrom(t.Context(), failing{Store: from, list: func(l storage.Listing) (storage.Listing, error) {
		if pages++; pages == 3 {
			return l, errors.New("the disk is gone")
		}
		return l, nil
	}})
	if err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Fatalf("a copy of a store that fails: %v", err)
	}
	if len(listed(t, to, storage.Query{})) > 0 || len(trail(t, to)) > 0 {
		t.Error("a copy that failed left something behind")
	}
	must(t, to.CopyFrom(t.Context(), from))
}

// List leaves out keys that cannot be read: the copy must not, because they
// would be unknown from then on.
func TestACopyRefusesASourceWithAKeyThatCannotBeRead(t *testing.T) {
	from, to := newStore(t), newStore(t)
	apply(t, from, changeOf("good", 0, nil))
	apply(t, from, changeOf("damaged", 0, nil))
	must(t, from.Damage(t.Context(), "damaged"))
	if err := to.CopyFrom(t.Context(), from); !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a copy of a store with a damaged key: %v", err)
	}
	if len(listed(t, to, storage.Query{})) > 0 {
		t.Error("a copy without a key was kept")
	}
}

// What is written to the source meanwhile may or may not be in the copy.
func TestACopySeesThatItsSourceIsInUse(t *testing.T) {
	for what, write := range map[string]func(s storage.Store, id string) error{
		"a new key": func(s storage.Store, id string) error {
			_, err := s.Apply(context.Background(), changeOf("later", 0, nil))
			return err
		},
		"a change": func(s storage.Store, id string) error {
			r, err := s.Get(context.Background(), id)
			if err == nil {
				_, err = s.Apply(context.Background(), storage.Change{Record: r, Expect: r.Key.Revision, Entry: apikey.AuditEntry{KeyID: id}})
			}
			return err
		},
		"usage": func(s storage.Store, id string) error {
			return s.AddUsage(context.Background(), []storage.UsageDelta{{KeyID: id, Secret: 1, Hour: time.Now(), Counts: apikey.Counts{Allowed: 1}}})
		},
	} {
		t.Run(what, func(t *testing.T) {
			from, to, reads := memstore.New(), newStore(t), 0
			for _, id := range []string{"one", "two"} {
				_, err := from.Apply(t.Context(), changeOf(id, 0, nil))
				must(t, err)
			}
			err := to.CopyFrom(t.Context(), failing{Store: from, usage: func() {
				if reads++; reads == 2 {
					must(t, write(from, "one"))
				}
			}})
			if err == nil || !strings.Contains(err.Error(), "drop the schema") {
				t.Errorf("%s while the store is copied: %v", what, err)
			}
		})
	}
}

func listed(t *testing.T, s storage.Store, q storage.Query) (all []storage.Record) {
	t.Helper()
	for {
		page, err := s.List(t.Context(), q)
		must(t, err)
		for _, r := range page.Records {
			all = append(all, storage.Normalize(r))
		}
		if q.After = page.Next; q.After.IsZero() {
			return all
		}
	}
}

func trail(t *testing.T, s storage.Store) (all []apikey.AuditEntry) {
	t.Helper()
	for q := (apikey.AuditQuery{Limit: 7}); ; q.Before = all[len(all)-1].Seq {
		page, err := s.Audit(t.Context(), q)
		must(t, err)
		if all = append(all, page...); len(page) < q.Limit {
			return all
		}
	}
}

// about is all that a store tells of a key's life.
type about struct {
	Record   storage.Record
	Sums     [][32]byte
	Trail    []apikey.AuditEntry
	Usage    apikey.Usage
	Activity apikey.Activity
}

func toldOf(t *testing.T, s storage.Store, id string, since time.Time) (a about) {
	t.Helper()
	r, err := s.Get(t.Context(), id)
	must(t, err)
	a.Record = r
	for _, d := range r.Digests {
		a.Sums = append(a.Sums, d.Sum)
	}
	a.Trail, err = s.Audit(t.Context(), apikey.AuditQuery{KeyID: id, Limit: 1000})
	must(t, err)
	a.Usage, err = s.Usage(t.Context(), id, since)
	must(t, err)
	a.Usage.ScopesSince = time.Time{}
	activity, err := s.Activity(t.Context(), []string{id}, since)
	must(t, err)
	a.Activity = activity[0]
	for _, last := range slices.Concat([]*apikey.LastUse{&a.Activity.Last}, lasts(a.Usage)) {
		last.UserAgent = strings.ToValidUTF8(last.UserAgent, "") // PostgreSQL stores no other text
	}
	return a
}

func lasts(u apikey.Usage) (all []*apikey.LastUse) {
	for i := range u.Secrets {
		all = append(all, &u.Secrets[i].Last)
	}
	return all
}
