package admin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// TestKeptLists: a page that is asked for again within ten seconds is not made
// again, unless a key has changed, and is shown to those alone who may do the same
// with the same keys.
func TestKeptLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gatedStore{Store: memstore.New()}
		others := map[string]admin.Actor{
			"colleague": {ID: "amy", Role: admin.Customer, Owner: "acme"},
			"elsewhere": {ID: "ann", Role: admin.Customer, Owner: "evil"}, // the owner, with another account
		}
		g := newRigWith(t, store, func(r *http.Request) (admin.Actor, error) {
			if a, ok := others[r.Header.Get("X-Test-User")]; ok {
				return a, nil
			}
			return signIn(r)
		}, admin.Options{})
		k, _ := g.key("acme", "production")
		made := func(user, path string, want bool) string {
			t.Helper()
			before := store.lists.Load()
			a := g.want(200, user, "GET", path, "")
			if got := store.lists.Load() > before; got != want {
				t.Errorf("%s for %s was made: %v, want %v", path, user, got, want)
			}
			return a.body
		}
		const page = "/?order=name"
		first := made("owner", page, true)
		if again := made("owner", page, false); again != first {
			t.Error("what was kept is another page")
		}
		made("owner", "/?order=oldest", true)
		if body := made("owner-reader", page, true); strings.Contains(body, "Create new key") {
			t.Error("a reader got the page of one who may create keys")
		}
		for i, user := range []string{"stranger", "elsewhere"} { // of one other account
			if body := made(user, page, i == 0); strings.Contains(body, k.ID) {
				t.Errorf("%s got the page of another account", user)
			}
		}
		if body := made("colleague", page, false); !strings.Contains(body, ">amy ") || strings.Contains(body, "ann") {
			t.Error("a page greets somebody else")
		}
		if body := made("operator", page, true); !strings.Contains(body, `placeholder="Owner"`) {
			t.Error("an operator got a customer's page")
		}
		made("owner", page, false)
		if _, err := g.keys.Disable(t.Context(), apikey.Actor{ID: "test"}, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		if body := made("owner", page, true); !strings.Contains(body, ">disabled<") {
			t.Error("a change is not seen at once")
		}
		time.Sleep(5*time.Second - 1)
		made("owner", page, false)
		time.Sleep(5*time.Second + 1)
		made("owner", page, true)
		for _, same := range []string{page + "&n=1", "/?cursor=&order=name&status=&owner=evil", page + "&status=nonsense"} {
			made("owner", same, false) // what an address says beyond the filter makes no other page
		}
		made("owner", "/?order=nonsense", true)
		made("owner", "/?", false)
		long := page + "&search=" + strings.Repeat("x", 600)
		made("owner", long, true)
		made("owner", long, true) // too long to be kept
		for i := range 300 {
			made("owner", fmt.Sprintf("/?order=name&search=%d", i), true)
		}
		if n := g.h.KeptLists(); n > 128 {
			t.Errorf("%d pages are kept", n)
		}
	})
}

// TestKeptRows: what another list shows of a key is not read and made again
// within ten seconds, unless the key has changed.
func TestKeptRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gatedStore{Store: memstore.New()}
		g := newRigWith(t, store, signIn, admin.Options{})
		for i := range 3 {
			aged(t, store, apikey.Key{ID: keyID(i), Name: fmt.Sprint("batch ", i), Owner: "acme", Environment: "live", Plan: "free"}, time.Duration(i+1)*time.Hour, 500)
		}
		searches := strings.Fields("b ba bat batc batch Batch BATCH Ba")
		list := func(user string, want int64) string { // another page each time
			t.Helper()
			before := store.activities.Load()
			a := g.want(200, user, "GET", "/?search="+searches[0], "")
			searches = searches[1:]
			if n := strings.Count(a.body, "<tr>") - 1; n != 3 {
				t.Errorf("%d rows, want 3", n)
			}
			if got := store.activities.Load() - before; got != want {
				t.Errorf("the use of %d keys was asked for, want %d", got, want)
			}
			return a.body
		}
		list("owner", 3)
		if body := list("owner", 0); strings.Contains(body, `data-label="Owner"`) || !strings.Contains(body, `class="spark"`) {
			t.Error("a row that was kept is another row")
		}
		if body := list("operator", 3); !strings.Contains(body, `data-label="Owner"`) {
			t.Error("an operator is shown the row of a customer")
		}

		name := "batch one"
		if _, err := g.keys.Update(t.Context(), apikey.Actor{ID: "test"}, keyID(1), apikey.Update{Name: &name}); err != nil {
			t.Fatal(err)
		}
		if body := list("owner", 1); !strings.Contains(body, name) || strings.Contains(body, "batch 1") {
			t.Error("a change is not seen at once")
		}
		revoked, err := g.keys.Revoke(t.Context(), apikey.Actor{ID: "test"}, keyID(2), "")
		if err != nil {
			t.Fatal(err)
		}
		purge := apikey.Change{
			Record: apikey.Record{Key: revoked, Digests: make([]apikey.Digest, 1)}, Expect: revoked.Revision, Delete: true,
			Entry: apikey.AuditEntry{At: time.Now(), Actor: "test", Action: apikey.ActionPurge, KeyID: revoked.ID, Owner: revoked.Owner},
		}
		if _, err := store.Apply(t.Context(), purge); err != nil {
			t.Fatal(err)
		}
		aged(t, store, apikey.Key{ID: keyID(2), Name: "batch again", Owner: "acme", Environment: "live", Plan: "free"}, time.Minute, 500)
		if body := list("owner", 1); !strings.Contains(body, "batch again") {
			t.Error("an id that came again shows the key before it")
		}

		// A page lives no longer than the oldest of its rows.
		time.Sleep(5*time.Second - 1)
		read := func(want int64) {
			t.Helper()
			before := store.lists.Load()
			for _, search := range strings.Fields("B bA bAt bAtc bAtch BaTCH BatcH BA") {
				g.want(200, "owner", "GET", "/?environment=live&search="+search, "")
			}
			if n := store.lists.Load() - before; n != want {
				t.Errorf("%d of 8 pages were made, want %d", n, want)
			}
		}
		before := store.activities.Load()
		read(8)
		if n := store.activities.Load() - before; n != 0 {
			t.Errorf("within five seconds the use of %d keys was asked for again", n)
		}
		time.Sleep(5*time.Second + 1)
		read(8)
		if n := store.activities.Load() - before; n != 3 {
			t.Errorf("ten seconds after rows were made, the use of %d keys was asked for, want 3", n)
		}

		// Rows without their use are not kept.
		time.Sleep(10 * time.Second)
		store.broken.Store(true)
		if body := list("owner", 3); strings.Contains(body, `class="spark"`) {
			t.Error("use that could not be read was shown")
		}
		store.broken.Store(false)
		if body := list("owner", 3); !strings.Contains(body, `class="spark"`) {
			t.Error("a row without its use was kept")
		}
	})
}
