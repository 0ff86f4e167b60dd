package admin_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// TestListsOfTheAPIAreExact holds every list of the REST API against that of a
// handler that has kept nothing, while keys change and end.
func TestListsOfTheAPIAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gatedStore{Store: memstore.New()}
		g := newRigWith(t, store, signIn, admin.Options{})
		r := rand.New(rand.NewPCG(4, 2))
		by := apikey.Actor{ID: "test"}
		var ids []string
		var tokens []apikey.Token
		create := func() {
			n := apikey.NewKey{Name: fmt.Sprint("batch ", len(ids)), Owner: []string{"acme", "evil"}[r.IntN(2)], Metadata: map[string]string{"crm": "private-note"}}
			if r.IntN(2) == 0 {
				n.ExpiresAt = time.Now().Add(time.Duration(1+r.IntN(30)) * time.Second)
			}
			k, token, err := g.keys.Create(t.Context(), by, n)
			if err != nil {
				t.Fatal(err)
			}
			ids, tokens = append(ids, k.ID), append(tokens, token)
		}
		change := func() { // what cannot be is an error, and no matter
			i := r.IntN(len(ids))
			id := ids[i]
			switch r.IntN(11) {
			case 0:
				create()
			case 1:
				name := fmt.Sprint("named ", r.IntN(1000))
				_, _ = g.keys.Update(t.Context(), by, id, apikey.Update{Name: &name})
			case 2, 3, 4:
				_, _, _ = g.keys.Rotate(t.Context(), by, id, apikey.RotateOptions{Grace: time.Duration(1+r.IntN(10)) * time.Second})
			case 5:
				_, _ = g.keys.Disable(t.Context(), by, id, "")
			case 6:
				_, _ = g.keys.Enable(t.Context(), by, id)
			case 7, 8, 9:
				if v, err := g.keys.Verify(t.Context(), tokens[i].Reveal()); err == nil {
					v.Count(apikey.OutcomeAllowed, 0, nil)
				}
			case 10:
				if r.IntN(4) == 0 {
					_, _ = g.keys.Revoke(t.Context(), by, id, "")
				}
			}
		}
		for range 8 {
			create()
		}
		queries := []string{
			"", "?limit=3", "?limit=5&order=name", "?search=batch", "?search=named&order=oldest", "?environment=live", "?plan=free", "?rotating=true", "?rotating=true&limit=1",
			"?state=active", "?state=expired", "?state=disabled", "?expires_before=" + time.Now().Add(20*time.Second).UTC().Format(time.RFC3339),
			"?unused_since=" + time.Now().Add(10*time.Second).UTC().Format(time.RFC3339), "?activity_since=" + time.Now().UTC().Format(time.RFC3339),
		}
		users := []string{"stranger", "op-reader", "owner-reader", "owner", "operator"}
		kept, all := 0, 0
		for range 700 {
			switch r.IntN(3) {
			case 0:
				change()
			case 1:
				time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
			case 2: // to the very instant at which keys and secrets end
				time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
			}
			user := users[min(r.IntN(8), len(users)-1)]
			for _, query := range queries {
				path := "/v1/keys" + query
				if user == "operator" && query == "" {
					path += "?owner=acme"
				}
				before := store.lists.Load()
				got := g.want(200, user, "GET", path, "").body
				if all++; store.lists.Load() == before {
					kept++
				}
				if want := freshly(t, g.keys, user, path); got != want {
					t.Fatalf("%s for %s is\n%s\nwant\n%s", path, user, got, want)
				}
				if strings.Contains(got, "private-note") != strings.HasPrefix(user, "op") && strings.Contains(got, "batch") {
					t.Fatalf("what operators know is told to %s:\n%s", user, got)
				}
			}
		}
		if kept < all/20 {
			t.Errorf("%d of %d lists were answered with what was kept", kept, all)
		}
	})
}

// freshly asks a handler that has kept nothing.
func freshly(t *testing.T, keys *apikey.Service, user, path string) string {
	t.Helper()
	h, err := admin.New(keys, signIn, admin.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
	r.Header.Set("X-Test-User", user)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatal(w.Code, w.Body)
	}
	return w.Body.String()
}

// TestListsThatMayHaveChangedAreNotKept: on a store that others change, too, and
// for lists that are large, or asked for at length, the store is asked each time.
func TestListsThatMayHaveChangedAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &gatedStore{Store: memstore.New()}
		keys, err := apikey.New(struct{ apikey.Store }{inner}, apikey.Options{MaxStale: time.Minute, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer keys.Close(t.Context())
		h, err := admin.New(keys, signIn, admin.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		asked := func(h http.Handler, path string, times int) int64 {
			before := inner.lists.Load()
			for range times {
				r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
				r.Header.Set("X-Test-User", "owner")
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != http.StatusOK {
					t.Fatal(w.Code, w.Body)
				}
			}
			return inner.lists.Load() - before
		}
		if n := asked(h, "/v1/keys", 3); n != 3 {
			t.Errorf("the store was asked %d times of 3, though others change it", n)
		}

		g := newRigWith(t, inner, signIn, admin.Options{})
		if n := asked(g.h, "/v1/keys", 3); n != 1 {
			t.Errorf("the store was asked %d times, want once", n)
		}
		if n := asked(g.h, "/v1/keys?search="+strings.Repeat("x", 600), 3); n != 3 {
			t.Errorf("the store was asked %d times of 3 for a long search", n)
		}
		for i := range 300 {
			g.key("acme", fmt.Sprint("one of many ", i))
		}
		if n := asked(g.h, "/v1/keys?limit=1000", 3); n != 3 {
			t.Errorf("the store was asked %d times of 3 for a large list", n)
		}
		if n := asked(g.h, "/v1/keys?limit=5", 3); n != 1 {
			t.Errorf("the store was asked %d times for a small list, want once", n)
		}
	})
}
