package admin_test

import (
	"context"
	"fmt"
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
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// gatedStore counts its lists, and holds those that come while it is shut.
type gatedStore struct {
	storage.Store
	lists atomic.Int64
	shut  atomic.Pointer[chan struct{}]
}

func (s *gatedStore) Unwrap() storage.Store { return s.Store }
func (s *gatedStore) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	s.lists.Add(1)
	if shut := s.shut.Load(); shut != nil {
		<-*shut
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

// TestOverloadIsNoErrorInTheLog: whoever sends more than can be answered, lists or
// guesses of a password, writes one warning in ten seconds.
func TestOverloadIsNoErrorInTheLog(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *rig{
		"lists": func(t *testing.T) *rig {
			store := &gatedStore{Store: memstore.New()}
			shut := make(chan struct{})
			store.shut.Store(&shut)
			time.AfterFunc(40*time.Second, func() { close(shut) })
			return newRigWith(t, store, signIn, admin.Options{})
		},
		"guesses": func(t *testing.T) *rig { g, _ := slowly(t); return g },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := start(t)
				var all sync.WaitGroup
				var busy atomic.Int64
				for range 2 {
					for range 300 {
						all.Go(func() {
							if g.do("owner", "GET", "/v1/keys", "", basicAs("olga", "a guess that is wrong")).status == 503 {
								busy.Add(1)
							}
						})
					}
					time.Sleep(16 * time.Second)
				}
				all.Wait()
				log := g.log.String()
				if n := strings.Count(log, "level=ERROR"); n > 0 || busy.Load() == 0 {
					t.Errorf("%d requests were refused, which wrote %d errors", busy.Load(), n)
				}
				if n := strings.Count(log, "level=WARN"); n < 2 || n > 4 {
					t.Errorf("%d refusals within 40 seconds wrote %d warnings, want one in ten seconds", busy.Load(), n)
				}
			})
		})
	}
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

// stuckUsage does not answer when it is given usage, as when a network drops its
// packets.
type stuckUsage struct {
	storage.Store
	answers atomic.Bool
}

func (s *stuckUsage) Unwrap() storage.Store { return s.Store }

func (s *stuckUsage) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	if !s.answers.Load() {
		<-ctx.Done()
	}
	return s.Store.AddUsage(ctx, batch)
}

// TestAStuckWriteOfUsageHoldsNoPlace: while the usage of a key is being written and
// the store does not answer, that key's usage cannot be told. Whoever watches it
// takes nothing else away.
func TestAStuckWriteOfUsageHoldsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &stuckUsage{Store: memstore.New()}
		g := newRigWith(t, store, signIn, admin.Options{})
		busy, token := g.key("acme", "busy")
		other, _ := g.key("acme", "other")
		v, err := engine.Of(g.keys).Verify(t.Context(), token.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		v.Count(apikey.OK, 0, nil)
		time.Sleep(5*time.Second + time.Millisecond) // a flush has begun
		var (
			all    sync.WaitGroup
			untold atomic.Int64
			end    = time.Now().Add(8 * time.Second)
		)
		for _, path := range []string{"/v1/keys/" + busy.ID + "/usage", "/keys/" + busy.ID, "/keys/" + busy.ID + "/first-use"} {
			for range 4 {
				all.Go(func() {
					for time.Now().Before(end) {
						if a := g.do("owner", "GET", path, ""); a.status == 503 {
							untold.Add(1)
						}
						time.Sleep(50 * time.Millisecond)
					}
				})
			}
		}
		for i, path := range []string{"/", "/v1/keys", "/v1/keys/" + other.ID + "/usage", "/keys/" + other.ID, "/v1/keys/" + busy.ID, "/v1/audit"} {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				for time.Now().Before(end) {
					begun := time.Now()
					if a := g.do("owner", "GET", path, ""); a.status != 200 || time.Since(begun) > 2*time.Second {
						t.Errorf("GET %s: status %d after %v", path, a.status, time.Since(begun))
					}
					time.Sleep(300 * time.Millisecond)
				}
			})
		}
		all.Wait()
		if untold.Load() == 0 {
			t.Error("the usage of a key was told while nobody knew whether it was written")
		}
		store.answers.Store(true)
		time.Sleep(10 * time.Second)
		if a := g.do("owner", "GET", "/v1/keys/"+busy.ID+"/usage", ""); a.status != 200 || !strings.Contains(a.body, `"allowed":1`) {
			t.Errorf("status %d when the store answers again: %s", a.status, a.body)
		}
	})
}
