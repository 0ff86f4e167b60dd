package admin_test

import (
	"context"
	"fmt"
	"html"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// fill is the form of a new key, filled in.
func fill(name string, pairs ...string) string {
	return form(append([]string{"form", name, "name", "production-backend", "scopes", "orders:read", "expires", "90"}, pairs...)...)
}

// told fails unless a form that was sent again is answered with where its key
// is, and with no secret.
func told(t *testing.T, rule string, a answer, id string) {
	t.Helper()
	if a.status != 409 || tokenShape.MatchString(a.body) || !strings.Contains(a.body, "cannot be shown again") || !strings.Contains(a.body, `keys/`+id+`"`) {
		t.Errorf("%s: says that the secret cannot be shown again, and leads to the key; status %d:\n%s", rule, a.status, a.body)
	}
}

// idIn is the id of the key whose secret an answer shows.
func idIn(t *testing.T, a answer) string {
	t.Helper()
	token := tokenShape.FindString(a.body)
	if a.status != 200 || token == "" {
		t.Fatalf("a secret is shown; status %d:\n%s", a.status, a.body)
	}
	return strings.Split(token, "_")[2]
}

// TestFormsOnSeveralInstances: whichever handler on a store gets a form, also
// one that was not there when the form was given out, it makes one key or one
// secret, and every other sending is told so.
func TestFormsOnSeveralInstances(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	instance := func() *rig { return newRigWith(t, mem, signIn, admin.Options{}) }
	here, there := instance(), instance()
	body := fill(here.form("owner", "/new"))
	restarted := instance()
	id := idIn(t, restarted.do("owner", "POST", "/new", body))
	for _, g := range []*rig{here, there, restarted, instance()} {
		told(t, "a form that was sent again", g.do("owner", "POST", "/new", body), id)
	}

	page := "/keys/" + id
	rotate := form("secret", here.next("owner", page), "overlap", "none")
	restarted = instance()
	idIn(t, restarted.do("owner", "POST", page+"/rotate", rotate))
	for _, g := range []*rig{here, there, restarted, instance()} {
		told(t, "a rotation that was sent again", g.do("owner", "POST", page+"/rotate", rotate), id)
	}
	if k, err := here.keys.Get(t.Context(), id); err != nil || k.Secrets[0].Number != 2 || here.keysOf() != 1 {
		t.Errorf("one key with one new secret: %d keys, %+v, %v", here.keysOf(), k.Secrets, err)
	}
}

// TestFormsSentAtOnce: of many sendings of a form at the same time, one is
// shown the secret and the others are told of it.
func TestFormsSentAtOnce(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	rigs := []*rig{newRigWith(t, mem, signIn, admin.Options{}), newRigWith(t, mem, signIn, admin.Options{})}
	race := func(path, body string) (shown string) {
		t.Helper()
		answers := make([]answer, 20)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = rigs[i%2].do("owner", "POST", path, body) })
		}
		wg.Wait()
		for _, a := range answers {
			if token := tokenShape.FindString(a.body); token != "" {
				if shown != "" {
					t.Errorf("%s: a second secret is shown", path)
				}
				shown = token
			}
		}
		if shown == "" {
			t.Fatalf("%s: no secret is shown", path)
		}
		for _, a := range answers {
			if !tokenShape.MatchString(a.body) {
				told(t, path, a, strings.Split(shown, "_")[2])
			}
		}
		return shown
	}
	id := strings.Split(race("/new", fill(rigs[0].form("owner", "/new"))), "_")[2]
	if n := rigs[0].keysOf(); n != 1 {
		t.Errorf("a form made %d keys", n)
	}
	shown := race("/keys/"+id+"/rotate", form("secret", rigs[1].next("owner", "/keys/"+id), "overlap", "none"))
	if _, err := rigs[0].keys.Verify(t.Context(), shown); err != nil {
		t.Errorf("the secret that was shown works: %v", err)
	}
}

// slowStore holds the first change until it is released.
type slowStore struct {
	storage.Store
	later            atomic.Bool
	started, release chan struct{}
}

func (s *slowStore) Unwrap() storage.Store { return s.Store }
func (s *slowStore) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	if !s.later.Swap(true) {
		close(s.started)
		<-s.release
	}
	return s.Store.Apply(ctx, c)
}

// TestDoubleClick: a form that is sent again while its key is being made makes
// no second one.
func TestDoubleClick(t *testing.T) {
	t.Parallel()
	store := &slowStore{Store: memstore.New(), started: make(chan struct{}), release: make(chan struct{})}
	g := newRigWith(t, store, signIn, admin.Options{})
	body := fill(g.form("owner", "/new"))
	var first answer
	var wg sync.WaitGroup
	wg.Go(func() { first = g.do("owner", "POST", "/new", body) })
	<-store.started
	second := g.do("owner", "POST", "/new", body)
	close(store.release)
	wg.Wait()
	told(t, "the slower one", first, idIn(t, second))
	if n := g.keysOf(); n != 1 {
		t.Errorf("a form made %d keys", n)
	}
}

// TestFormAfterACrash: a form whose answer was lost, or whose store could not
// say what came of it, finds its key when it is sent again.
func TestFormAfterACrash(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	broken := newRigWith(t, dying{mem}, signIn, admin.Options{})
	a := broken.want(503, "owner", "POST", "/new", fill(broken.form("owner", "/new")))
	again := formField.FindStringSubmatch(a.body)
	if again == nil || !strings.Contains(a.body, `value="production-backend"`) {
		t.Fatalf("what was typed stays:\n%s", a.body)
	}
	g := newRigWith(t, mem, signIn, admin.Options{})
	page, err := g.keys.List(t.Context(), latchkey.ListRequest{})
	if err != nil || len(page.Keys) != 1 {
		t.Fatalf("the key is there: %v, %v", page.Keys, err)
	}
	told(t, "the form that is shown again", g.do("owner", "POST", "/new", fill(again[1])), page.Keys[0].ID)
}

// TestFormWithOtherFields: a form that made a key makes no other one, also with
// other fields; what was typed stays, in a form that may be sent.
func TestFormWithOtherFields(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	name := g.form("owner", "/new")
	g.want(200, "owner", "POST", "/new", fill(name))
	a := g.want(409, "owner", "POST", "/new", fill(name, "networks", "192.0.2.0/24"))
	if n := g.keysOf(); n != 1 || !strings.Contains(a.body, "192.0.2.0/24") || !strings.Contains(a.body, "has already made a key, with other fields") {
		t.Errorf("%d keys:\n%s", n, a.body)
	}
	next := formField.FindStringSubmatch(a.body)[1]
	if next == name {
		t.Error("a form that made its key is not given out again")
	}
	g.want(200, "owner", "POST", "/new", fill(next, "networks", "192.0.2.0/24"))
}

// TestFormNames: a name stands for a key of whoever sends it, and for nothing
// besides.
func TestFormNames(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	name := g.form("owner", "/new")
	seen := map[string]bool{idIn(t, g.do("owner", "POST", "/new", fill(name))): true}
	for _, user := range []string{"stranger", "operator"} {
		extra := []string{"environment", "live"}
		if user == "operator" {
			extra = append(extra, "owner", "acme")
		}
		a := g.do(user, "POST", "/new", strings.Replace(fill(name, extra...), "orders", "marketplace", 1))
		if id := idIn(t, a); seen[id] {
			t.Errorf("%s has met another's form", user)
		} else {
			seen[id] = true
		}
	}
	g.want(201, "owner", "POST", "/v1/keys", `{"name":"production-backend"}`, idempotent(name)) // is not the form's

	now := time.Now()
	good := admin.NewForm(now)
	for rule, name := range map[string]string{
		"none":                  "",
		"one that is too old":   admin.NewForm(now.Add(-admin.FormLife)),
		"one of next year":      admin.NewForm(now.AddDate(1, 0, 0)),
		"one without an age":    strings.Repeat("A", len(good)),
		"one without a name":    good[:16],
		"a shorter one":         good[:len(good)-1],
		"a longer one":          good + "A",
		"one of other letters":  good[:len(good)-1] + "=",
		"one of next to no age": "20060102T150405Z" + good[16:],
	} {
		before := g.keysOf()
		a := g.want(409, "owner", "POST", "/new", form("form", name, "name", "kept-as-typed"))
		if after := g.keysOf(); after != before || !strings.Contains(a.body, "kept-as-typed") {
			t.Errorf("%s: %d keys, then %d:\n%s", rule, before, after, a.body)
		}
		if next := formField.FindStringSubmatch(a.body)[1]; next == name || len(next) != len(good) {
			t.Errorf("%s: the form that is shown again can be sent, and is named %q", rule, next)
		}
	}
}

// TestFormsOutlivedByTheirKeys: a form is too old before its key can have been
// purged, and its dates are those that it showed.
func TestFormsOutlivedByTheirKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRigFlushing(t, memstore.New(), signIn, admin.Options{}, time.Hour)
		body := fill(g.form("owner", "/new"))
		shown := time.Now().UTC().AddDate(0, 0, 90)
		if a := g.want(200, "owner", "GET", "/new", ""); !strings.Contains(a.body, shown.Format("2 January 2006")) {
			t.Fatalf("the date of an expiry is written out:\n%s", a.body)
		}
		time.Sleep(admin.FormLife - time.Second)
		id := idIn(t, g.do("owner", "POST", "/new", body))
		k, err := g.keys.Get(t.Context(), id)
		if err != nil || !k.ExpiresAt.Equal(shown.Truncate(time.Second)) {
			t.Errorf("the key expires on the day that was written: %v, not %v; %v", k.ExpiresAt, shown, err)
		}
		told(t, "a reload", g.do("owner", "POST", "/new", body), id)
		if _, err := g.keys.Revoke(t.Context(), apikey.Actor{ID: "test"}, id, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(latchkey.MinPurgeAge)
		if n, err := g.keys.Purge(t.Context(), apikey.Actor{ID: "test"}, latchkey.MinPurgeAge); n != 1 || err != nil {
			t.Fatalf("purged %d, %v", n, err)
		}
		a := g.want(409, "owner", "POST", "/new", body)
		if n := g.keysOf(); n != 0 || !strings.Contains(a.body, "has expired") {
			t.Errorf("a form made a second key, once the first was purged: %d\n%s", n, a.body)
		}
	})
}

// TestFaultsKeepTheDates: a form that is shown again with its faults counts from
// when it was first shown.
func TestFaultsKeepTheDates(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := time.Now().UTC().Add(-admin.FormLife + time.Minute)
	a := g.want(422, "owner", "POST", "/new", fill(admin.NewForm(made), "networks", "nonsense"))
	if date := made.AddDate(0, 0, 7).Format("2 January 2006"); !strings.Contains(a.body, date) {
		t.Errorf("no %s on the form:\n%s", date, a.body)
	}
}

// TestRotationForms: a form rotates the secrets that it was made for, and no
// later ones.
func TestRotationForms(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", "production")
	page := "/keys/" + k.ID
	number := func(want uint32) {
		t.Helper()
		if k, err := g.keys.Get(t.Context(), k.ID); err != nil || k.NextSecret() != want {
			t.Errorf("the next secret is number %d, want %d; %v", k.NextSecret(), want, err)
		}
	}
	for rule, secret := range map[string]string{"no number": "", "0, whichever it is": "0", "no number at all": "two", "a negative one": "-1", "too large a one": "4294967298"} {
		a := g.want(422, "owner", "POST", page+"/rotate", form("secret", secret, "overlap", "none"))
		if !strings.Contains(a.body, "Nothing was rotated") {
			t.Errorf("%s:\n%s", rule, a.body)
		}
	}
	g.want(422, "owner", "POST", page+"/rotate", form("secret", "2", "overlap", "century"))
	number(2)
	rotate := form("secret", g.next("owner", page), "overlap", "day")
	g.want(200, "owner", "POST", page+"/rotate", rotate)
	told(t, "while it is being rotated", g.do("owner", "POST", page+"/rotate", rotate), k.ID)
	g.want(303, "owner", "POST", page+"/cancel-rotation", "")
	a := g.do("owner", "POST", page+"/rotate", rotate)
	told(t, "after it was cancelled", a, k.ID)
	if !strings.Contains(html.UnescapeString(a.body), "or somebody else rotated the key") {
		t.Errorf("the page does not claim to know who it was:\n%s", a.body)
	}
	number(3)
	g.want(200, "owner", "POST", page+"/rotate", form("secret", g.next("owner", page), "overlap", "none"))
	number(4)
}

// meeting lets two readers of a key see it before either goes on.
type meeting struct {
	storage.Store
	readers atomic.Int32
	both    chan struct{}
}

func (m *meeting) Unwrap() storage.Store { return m.Store }
func (m *meeting) Get(ctx context.Context, id string) (storage.Record, error) {
	r, err := m.Store.Get(ctx, id)
	if n := m.readers.Add(1); n == 2 {
		close(m.both)
	} else if n == 1 {
		<-m.both
	}
	return r, err
}

// TestIfMatchRotatesOnce: of two programs that saw the same key, one rotates it.
func TestIfMatchRotatesOnce(t *testing.T) {
	t.Parallel()
	g := newRigWith(t, &meeting{Store: memstore.New(), both: make(chan struct{})}, signIn, admin.Options{})
	k, _ := g.key("acme", "production")
	tag := fmt.Sprintf(`"%d"`, k.Revision)
	var wg sync.WaitGroup
	var answers [2]answer
	for i := range answers {
		wg.Go(func() {
			answers[i] = g.do("owner", "POST", "/v1/keys/"+k.ID+"/rotate", `{"immediately":true}`, header("If-Match", tag))
		})
	}
	wg.Wait()
	if a, b := answers[0].status, answers[1].status; min(a, b) != 200 || max(a, b) != 412 {
		t.Errorf("two rotations of one revision: statuses %d and %d, want 200 and 412", a, b)
	}
	if k, _ := g.keys.Get(t.Context(), k.ID); k.NextSecret() != 3 {
		t.Errorf("the next secret is number %d, want 3", k.NextSecret())
	}
}
