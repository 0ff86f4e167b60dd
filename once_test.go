package latchkey_test

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

const form = "customer\x00acme\x00ann\x008e03978e-40d5-43e8-bc93-6894a57f9324"

func creation(once string) latchkey.NewKey {
	return latchkey.NewKey{Name: "production-backend", Owner: "acme", Once: once}
}

// count returns how many keys a store has.
func count(t *testing.T, s *latchkey.Service) int {
	t.Helper()
	page, err := s.List(t.Context(), latchkey.ListRequest{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Keys)
}

// TestOnce: a named creation makes one key, whoever repeats it and whenever,
// and says its secret once.
func TestOnce(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	here, there := serviceOn(t, mem, latchkey.Options{}), serviceOn(t, mem, latchkey.Options{})
	k, token, err := here.Create(t.Context(), ops, creation(form))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "its secret works", verify(t, there, token.Reveal()), nil)
	for process, s := range map[string]*latchkey.Service{"the same process": here, "another": there, "one started later": serviceOn(t, mem, latchkey.Options{})} {
		again, none, err := s.Create(t.Context(), ops, creation(form))
		want(t, "a replay in "+process, err, apikey.AlreadyCreated)
		if d := cmp.Diff(k, again, prefixes); d != "" {
			t.Errorf("a replay in %s tells of the key that is there (-want +got):\n%s", process, d)
		}
		if none.Reveal() != "" {
			t.Errorf("a replay in %s has a secret", process)
		}
	}
	other := creation(form)
	other.Name = "something else"
	got, none, err := there.Create(t.Context(), ops, other)
	want(t, "the name with another request", err, apikey.OnceReused)
	if got.ID != "" || none.Reveal() != "" {
		t.Errorf("another request is told nothing of the key: %+v", got)
	}
	if n := count(t, here); n != 1 {
		t.Fatalf("one name has made %d keys", n)
	}
	k2, _, err := there.Create(t.Context(), ops, creation(form+"2"))
	if err != nil || k2.ID == k.ID {
		t.Errorf("another name makes another key: %v %v", k2.ID, err)
	}

	// What becomes of the key does not matter.
	if _, err := here.Update(t.Context(), ops, k.ID, latchkey.Update{Name: new("renamed")}); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Revoke(t.Context(), ops, k.ID, ""); err != nil {
		t.Fatal(err)
	}
	again, _, err := there.Create(t.Context(), ops, creation(form))
	want(t, "a replay after a change and a revocation", err, apikey.AlreadyCreated)
	if again.StateAt(time.Now()) != apikey.Revoked || again.Name != "renamed" {
		t.Errorf("a replay tells of the key as it is now: %+v", again)
	}
	_, _, err = here.Create(t.Context(), ops, creation(string(make([]byte, latchkey.MaxOnce+1))))
	want(t, "a name has a bound", err, apikey.InvalidArgument)
	expired := creation("expired by now")
	expired.ExpiresAt = time.Now().Add(-time.Hour)
	_, _, err = here.Create(t.Context(), ops, expired)
	want(t, "a faulty creation takes no name", err, apikey.InvalidArgument)
	expired.ExpiresAt = time.Time{}
	_, _, err = here.Create(t.Context(), ops, expired)
	want(t, "and can be mended under its name", err, nil)
}

// TestOnceConcurrently: of many that ask at once, in several processes, one
// makes the key, and all others are told of that one.
func TestOnceConcurrently(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	var services []*latchkey.Service
	for range 3 {
		services = append(services, serviceOn(t, mem, latchkey.Options{}))
	}
	for round := range 50 {
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			made []string
			told = map[string]int{}
		)
		for i := range 12 {
			wg.Go(func() {
				k, token, err := services[i%3].Create(context.Background(), ops, creation(fmt.Sprint(form, round)))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && token.Reveal() != "":
					made = append(made, k.ID)
				case errors.Is(err, apikey.AlreadyCreated) && token.Reveal() == "":
					told[k.ID]++
				default:
					t.Errorf("neither made nor told: %v", err)
				}
			})
		}
		wg.Wait()
		if len(made) != 1 || told[made[0]] != 11 {
			t.Fatalf("one creation, asked for 12 times at once: made %v, told %v", made, told)
		}
	}
}

// dying commits, and fails before it can say so.
type dying struct {
	storage.Store
	dead bool
}

func (d *dying) Unwrap() storage.Store { return d.Store }

func (d *dying) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	rev, err := d.Store.Apply(ctx, c)
	if d.dead {
		return 0, errors.New("connection lost")
	}
	return rev, err
}

// TestOnceAfterACrash: a process that dies between the write and its answer
// leaves a key whose secret nobody has; a replay tells which, and makes no
// second one.
func TestOnceAfterACrash(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	first := serviceOn(t, &dying{mem, true}, latchkey.Options{})
	_, _, err := first.Create(t.Context(), ops, creation(form))
	want(t, "the outcome is unknown", err, apikey.Unavailable)
	_ = first.Close(t.Context())

	s := serviceOn(t, mem, latchkey.Options{})
	k, _, err := s.Create(t.Context(), ops, creation(form))
	want(t, "the replay finds it", err, apikey.AlreadyCreated)
	if n := count(t, s); n != 1 || k.ID == "" {
		t.Fatalf("%d keys, told of %q", n, k.ID)
	}
	if _, token, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Immediately: true}); err != nil || verify(t, s, token.Reveal()) != nil {
		t.Errorf("a lost secret is replaced by a rotation: %v", err)
	}
}

// TestOncePeppers: a name stays known when peppers are added, and until the one
// that it was made under is removed.
func TestOncePeppers(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	ring := func(p ...latchkey.Pepper) *latchkey.Service { return serviceOn(t, mem, latchkey.Options{Peppers: p}) }
	made := func(s *latchkey.Service, name string) string {
		t.Helper()
		k, _, err := s.Create(t.Context(), ops, creation(name))
		if err != nil {
			t.Fatal(err)
		}
		return k.ID
	}
	bare, under1 := made(ring(), "bare"), made(ring(pepper1), "under 1")
	both := ring(pepper1, pepper2)
	under2 := made(both, "under 2")
	for name, id := range map[string]string{"bare": bare, "under 1": under1, "under 2": under2} {
		k, _, err := both.Create(t.Context(), ops, creation(name))
		want(t, "a replay of "+name, err, apikey.AlreadyCreated)
		if k.ID != id {
			t.Errorf("a replay of %s tells of %s, not of %s", name, k.ID, id)
		}
	}
	if under1 == made(serviceOn(t, memstore.New(), latchkey.Options{Peppers: []latchkey.Pepper{pepper2}}), "under 1") {
		t.Error("an id does not follow from its name alone when there is a pepper")
	}
	if id := made(ring(pepper2), "under 1"); id == under1 {
		t.Error("a name is forgotten with its pepper")
	}
}

// TestOnceIDs: the ids are the documented ones, made by other means, and as
// uniform as ids of chance.
func TestOnceIDs(t *testing.T) {
	t.Parallel()
	s := newService(t, latchkey.Options{Peppers: []latchkey.Pepper{pepper1}})
	k, _, err := s.Create(t.Context(), ops, creation(form))
	if err != nil {
		t.Fatal(err)
	}
	key, _ := hkdf.Key(sha256.New, pepper1.Key, nil, "latchkey key id v1", 32)
	id := ""
	for block := uint32(0); len(id) < 16; block++ {
		mac := hmac.New(sha256.New, key)
		_ = binary.Write(mac, binary.BigEndian, block)
		mac.Write([]byte(form))
		for _, c := range mac.Sum(nil) {
			if c < 4*62 && len(id) < 16 {
				id += string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[c%62])
			}
		}
	}
	if k.ID != id {
		t.Errorf("id %q, documented %q", k.ID, id)
	}

	const names = 20_000
	var seen [16][256]float64
	unique := map[string]bool{}
	for i := range names {
		id := latchkey.OnceIDs(s, fmt.Sprint("name ", i))[0]
		unique[id] = true
		for at, c := range []byte(id) {
			seen[at][c]++
		}
	}
	if len(unique) != names {
		t.Errorf("%d names have %d ids", names, len(unique))
	}
	for at := range seen {
		chi2, kinds := 0.0, 0
		for _, n := range seen[at] {
			if n > 0 {
				kinds++
				chi2 += (n - names/62.0) * (n - names/62.0) / (names / 62.0)
			}
		}
		if kinds != 62 || chi2 > 130 { // 61 degrees of freedom: above 130 once in a million
			t.Errorf("place %d: %d characters, chi squared %.0f", at, kinds, chi2)
		}
	}
}

// TestOnceComparesEverything: whatever field of a request differs, it is
// another request; a field that the digest does not know fails here.
func TestOnceComparesEverything(t *testing.T) {
	t.Parallel()
	s := newService(t, latchkey.Options{})
	if _, _, err := s.Create(t.Context(), ops, creation(form)); err != nil {
		t.Fatal(err)
	}
	values := map[string]any{
		"Name": "x", "Owner": "evil", "Environment": "live", "Scopes": []string{"a:b"}, "Plan": "free", "Limits": []apikey.Limit{apikey.PerMinute(1)},
		"Networks": []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "Metadata": map[string]string{"a": "b"}, "ExpiresAt": time.Now().Add(time.Hour),
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[latchkey.NewKey]()) {
		if f.Name == "Once" {
			continue
		}
		n := creation(form)
		v, ok := values[f.Name]
		if !ok {
			t.Fatalf("NewKey.%s is new: digest it in request, and give it a value here", f.Name)
		}
		reflect.ValueOf(&n).Elem().FieldByIndex(f.Index).Set(reflect.ValueOf(v))
		_, _, err := s.Create(t.Context(), ops, n)
		want(t, "another "+f.Name, err, apikey.OnceReused)
	}
}

// TestOnceAfterAPurge: the name is forgotten with the key, and the new key
// works at once, although its id was just known not to be.
func TestOnceAfterAPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serviceOn(t, &quiet{memstore.New()}, latchkey.Options{MaxStale: time.Hour, FlushEvery: time.Hour})
		defer s.Close(t.Context())
		k, old, err := s.Create(t.Context(), ops, creation(form))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Revoke(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(latchkey.MinPurgeAge)
		if n, err := s.Purge(t.Context(), ops, latchkey.MinPurgeAge); n != 1 || err != nil {
			t.Fatalf("purged %d: %v", n, err)
		}
		time.Sleep(2 * time.Hour)
		want(t, "a purged key is unknown", verify(t, s, old.Reveal()), apikey.InvalidKey)
		again, token, err := s.Create(t.Context(), ops, creation(form))
		if err != nil || again.ID != k.ID {
			t.Fatalf("a purged name makes a key again: %v %v", again.ID, err)
		}
		want(t, "its secret works at once", verify(t, s, token.Reveal()), nil)
		want(t, "the old one does not", verify(t, s, old.Reveal()), apikey.InvalidKey)
		if bytes.Equal([]byte(old.Reveal()), []byte(token.Reveal())) {
			t.Error("the secret is of chance, whatever the id is")
		}
	})
}

// quiet is a store that announces no changes.
type quiet struct{ storage.Store }
