package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// gatedStore counts its lists, and holds those that come while it is shut.
type gatedStore struct {
	apikey.Store
	lists atomic.Int64
	shut  atomic.Pointer[chan struct{}]
}

func (s *gatedStore) Unwrap() apikey.Store { return s.Store }
func (s *gatedStore) List(ctx context.Context, q apikey.Query) (apikey.Listing, error) {
	s.lists.Add(1)
	if shut := s.shut.Load(); shut != nil {
		select {
		case <-*shut:
		case <-ctx.Done():
			return apikey.Listing{}, ctx.Err()
		}
	}
	return s.Store.List(ctx, q)
}

// TestBulkhead: as many lists as there are places are worked on; others wait,
// for five seconds at most; changes pass.
func TestBulkhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gatedStore{Store: memstore.New()}
		g := newRigWith(t, store, signIn, admin.Options{})
		k, _ := g.key("acme", "production")
		places := max(1, runtime.GOMAXPROCS(0)/2)
		shut := make(chan struct{})
		store.shut.Store(&shut)

		ask := func(n int) (statuses *sync.Map, all *sync.WaitGroup) {
			statuses, all = new(sync.Map), new(sync.WaitGroup)
			for i := range n {
				all.Go(func() {
					a := g.do("owner", "GET", fmt.Sprintf("/?cursor=&x=%d", i), "")
					n, _ := statuses.LoadOrStore(a.status, new(atomic.Int64))
					n.(*atomic.Int64).Add(1)
					if a.status != 200 && a.header.Get("Retry-After") == "" {
						t.Errorf("status %d without Retry-After", a.status)
					}
				})
			}
			synctest.Wait()
			return statuses, all
		}
		count := func(m *sync.Map, status int) int {
			n, ok := m.Load(status)
			if !ok {
				return 0
			}
			return int(n.(*atomic.Int64).Load())
		}

		first, firstDone := ask(places + 10)
		if n := int(store.lists.Load()); n != places {
			t.Errorf("%d lists are worked on, there are %d places", n, places)
		}
		g.want(200, "owner", "GET", "/assets/admin.css", "")
		g.want(200, "owner", "POST", "/v1/keys/"+k.ID+"/disable", "") // passes
		time.Sleep(6 * time.Second)
		if n := count(first, 503); n != 10 {
			t.Errorf("%d of 10 that waited were refused after five seconds", n)
		}
		const waiting = 256
		second, secondDone := ask(waiting + 7)
		if n := count(second, 503); n != 7 {
			t.Errorf("%d were refused at once, with %d more than may wait", n, 7)
		}
		store.shut.Store(nil)
		close(shut)
		firstDone.Wait()
		secondDone.Wait()
		if count(first, 200) != places || count(second, 200) != waiting {
			t.Errorf("%d and %d were answered, want %d and %d", count(first, 200), count(second, 200), places, waiting)
		}
	})
}

// stuckWriter is a client that does not read its answer.
type stuckWriter struct {
	*httptest.ResponseRecorder
	free chan struct{}
}

func (w stuckWriter) Write(p []byte) (int, error) {
	<-w.free
	return w.ResponseRecorder.Write(p)
}

// TestSlowClientsHoldNoPlace: a client that does not read, of a page or of an
// export, keeps nobody else waiting.
func TestSlowClientsHoldNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		k, _ := g.key("acme", "production")
		free := make(chan struct{})
		var all sync.WaitGroup
		for i := range 2 * runtime.GOMAXPROCS(0) {
			for _, path := range []string{"/", "/v1/keys", "/keys/" + k.ID, "/v1/audit.csv"} {
				all.Go(func() {
					r := httptest.NewRequest("GET", fmt.Sprintf("/settings/keys%s?limit=%d", path, i+1), nil)
					r.Header.Set("X-Test-User", "owner")
					g.mount.ServeHTTP(stuckWriter{httptest.NewRecorder(), free}, r)
				})
			}
		}
		synctest.Wait()
		begun := time.Now()
		g.want(200, "owner", "GET", "/", "")
		if d := time.Since(begun); d > 0 {
			t.Errorf("a list waited %v for clients that do not read", d)
		}
		close(free)
		all.Wait()
	})
}

// TestKeptLists: a page that is asked for again within ten seconds is not made
// again, unless a key has changed, and is never shown to anybody else.
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
		for _, user := range []string{"stranger", "elsewhere"} {
			if body := made(user, page, true); strings.Contains(body, k.ID) {
				t.Errorf("%s got the page of another account", user)
			}
		}
		if body := made("colleague", page, true); strings.Contains(body, "ann") {
			t.Error("a page greets somebody else")
		}
		made("operator", page, true)
		made("owner", page, false)
		if _, err := g.keys.Disable(t.Context(), apikey.Actor{ID: "test"}, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		if body := made("owner", page, true); !strings.Contains(body, ">disabled<") {
			t.Error("a change is not seen at once")
		}
		time.Sleep(9 * time.Second)
		made("owner", page, false)
		time.Sleep(time.Second)
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
