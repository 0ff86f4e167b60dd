package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// What strangers can do to customers: anybody can make up tokens that are well
// formed, of keys that nobody has.

// batchLink is a link to a store that reads many records in one round trip.
type batchLink struct {
	*link
	largest atomic.Int64
}

func (l *batchLink) GetBatch(ctx context.Context, ids []string) (records []storage.Record, errs []error) {
	l.reads.Add(1)
	l.largest.Store(max(l.largest.Load(), int64(len(ids))))
	records, errs = make([]storage.Record, len(ids)), make([]error, len(ids))
	_, err := call(ctx, l.link, func() (struct{}, error) {
		for i, id := range ids {
			records[i], errs[i] = l.store.mem.Get(ctx, id)
		}
		return struct{}{}, nil
	})
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return records, errs
}

// batchProcess is [process] over a store that reads in batches.
func batchProcess(t testing.TB, store *sharedStore, o latchkey.LeaseOptions) (*latchkey.Service, *batchLink) {
	l := &batchLink{link: &link{store: store, delay: time.Millisecond}}
	l.noPush.Store(true)
	return serviceOn(t, l, latchkey.Options{Lease: o}), l
}

// both runs a test against a store that reads one key at a time, and against one
// that reads many.
func both(t *testing.T, test func(t *testing.T, store *sharedStore, s *latchkey.Service, l *link)) {
	for _, kind := range []string{"one at a time", "in batches"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newSharedStore()
				var s *latchkey.Service
				var l *link
				if kind == "in batches" {
					many, b := batchProcess(t, store, latchkey.LeaseOptions{})
					s, l = many, b.link
				} else {
					s, l = process(t, store, latchkey.LeaseOptions{}, withoutPush)
				}
				test(t, store, s, l)
				l.cut.Store(false)
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// floodOf asks with unknown keys, n of them a millisecond, until stop is called.
func floodOf(t testing.TB, s *latchkey.Service, n int) (stop func()) {
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	group.Go(func() {
		for ctx.Err() == nil {
			for range n {
				token := mustToken(t)
				group.Go(func() {
					if _, err := s.Verify(ctx, token); !errors.Is(err, apikey.InvalidKey) && !errors.Is(err, apikey.Unavailable) && !errors.Is(err, context.Canceled) {
						t.Errorf("an unknown key: %v", err)
					}
				})
			}
			time.Sleep(time.Millisecond)
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

// Good keys that were never used here are served at once beside a flood of keys
// that nobody has: those that were just made elsewhere, those of a process that
// has just started, and those whose id was purged and is made anew. They are never
// called unknown.
func TestColdKeysAreServedUnderAFloodOfUnknownOnes(t *testing.T) {
	both(t, func(t *testing.T, store *sharedStore, s *latchkey.Service, _ *link) {
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true}, withoutPush)
		defer here.Close(t.Context())
		stop := floodOf(t, s, 4)
		for i := range 50 {
			_, token := create(t, here)
			asked := time.Now()
			want(t, "a key that was made elsewhere just now", verify(t, s, token), nil)
			if took := time.Since(asked); took > time.Second {
				t.Errorf("key %d was served after %v", i, took)
			}
		}
		stop()
	})
}

func TestAKeyThatIsMadeAnewAfterAPurgeWorksEverywhereAtOnce(t *testing.T) {
	both(t, func(t *testing.T, store *sharedStore, s *latchkey.Service, _ *link) {
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true}, withoutPush)
		defer here.Close(t.Context())
		for _, cached := range []bool{true, false} {
			once := func(n *latchkey.NewKey) { n.Once = fmt.Sprint("the first key of acme, cached: ", cached) }
			k, token := create(t, here, once)
			if cached {
				want(t, "the key", verify(t, s, token), nil)
			}
			if _, err := here.Revoke(t.Context(), ops, k.ID, ""); err != nil {
				t.Fatal(err)
			}
			r, err := here.Store().Get(t.Context(), k.ID)
			if err != nil {
				t.Fatal(err)
			}
			purge := apikey.AuditEntry{KeyID: k.ID, At: time.Now(), Actor: "ops", Action: "purge"}
			if _, err := here.Store().Apply(t.Context(), storage.Change{Record: r, Expect: r.Key.Revision, Delete: true, Entry: purge}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(4 * time.Second)
			want(t, "a token of the key that was purged", verify(t, s, token), apikey.InvalidKey)
			_, newer := create(t, here, once)
			want(t, "a token of the key that was made anew elsewhere", verify(t, s, newer), nil)
			want(t, "a token of the key that was purged", verify(t, s, token), apikey.InvalidKey)
		}
	})
}

// The read that one request waits for began before a key was made, and says that
// there is none. A request that came after the key was made does not believe it.
func TestAKeyIsUnknownOnlyToAReadThatBeganAfterTheRequest(t *testing.T) {
	both(t, func(t *testing.T, store *sharedStore, s *latchkey.Service, l *link) {
		elsewhere := serviceOn(t, newSharedStore().mem, latchkey.Options{})
		defer elsewhere.Close(t.Context())
		k, token := create(t, elsewhere)
		r, err := elsewhere.Store().Get(t.Context(), k.ID)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l.slower.Store(int64(49 * time.Millisecond))
		early := make(chan error, 1)
		go func() { early <- verify(t, s, token) }()
		time.Sleep(75 * time.Millisecond) // it is on its way back
		if _, err := store.mem.Apply(t.Context(), storage.Change{Record: r, Entry: apikey.AuditEntry{KeyID: k.ID, At: time.Now(), Actor: "ops"}}); err != nil {
			t.Fatal(err)
		}
		want(t, "a request that came after the key was made", verify(t, s, token), nil)
		want(t, "one that came before it", <-early, apikey.InvalidKey)
	})
}

// gate is a store that says how many calls it has at a time, and holds some.
type gate struct {
	storage.Store
	batches   storage.BatchGetter
	mu        sync.Mutex
	now, most int
	hold      func(id string) bool // such reads hang, whatever their context says
	release   chan struct{}
	ids       atomic.Int64
}

func (g *gate) Unwrap() storage.Store { return g.Store }

func (g *gate) enter(ids ...string) (leave func()) {
	g.mu.Lock()
	g.now++
	g.most = max(g.most, g.now)
	g.mu.Unlock()
	g.ids.Add(int64(len(ids)))
	for _, id := range ids {
		if g.hold != nil && g.hold(id) {
			<-g.release
			break
		}
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	}
}

func (g *gate) Get(ctx context.Context, id string) (storage.Record, error) {
	defer g.enter(id)()
	return g.Store.Get(ctx, id)
}

// batchGate is a gate before a store that reads in batches.
type batchGate struct{ *gate }

func (g batchGate) GetBatch(ctx context.Context, ids []string) ([]storage.Record, []error) {
	defer g.enter(ids...)()
	return g.batches.GetBatch(ctx, ids)
}

// gated opens a service behind a gate.
func gated(t *testing.T, store *sharedStore, batches bool, o latchkey.LeaseOptions) (*latchkey.Service, *gate) {
	l := &batchLink{link: &link{store: store, delay: time.Millisecond}}
	l.noPush.Store(true)
	g := &gate{Store: l, batches: l, release: make(chan struct{})}
	if batches {
		return serviceOn(t, batchGate{g}, latchkey.Options{Lease: o}), g
	}
	return serviceOn(t, g, latchkey.Options{Lease: o}), g
}

// However many ask, a few reads run at a time, and when their requests have gone
// (a client resets its streams) nothing of them is left to be read.
func TestReadsForUnknownKeysAreBounded(t *testing.T) {
	for _, batches := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := newSharedStore()
			s, g := gated(t, store, batches, latchkey.LeaseOptions{})
			want(t, "an unknown key", verify(t, s, mustToken(t)), apikey.InvalidKey)
			before := runtime.NumGoroutine()
			g.hold = func(string) bool { return true }
			began := g.ids.Load()
			ctx, reset := context.WithCancel(t.Context())
			var group sync.WaitGroup
			for range 3000 {
				token := mustToken(t)
				group.Go(func() {
					_, err := s.Verify(ctx, token)
					want(t, "a request that was reset", err, context.Canceled)
				})
			}
			synctest.Wait()
			reset()
			group.Wait()
			synctest.Wait()
			most := map[bool]int{false: 16, true: 2}[batches]
			if g.most > most {
				t.Errorf("batches %v: %d reads at a time, want at most %d", batches, g.most, most)
			}
			if n := runtime.NumGoroutine() - before; n > most+20 { // the runtime starts some of its own
				t.Errorf("batches %v: %d goroutines are left of 3,000 requests that were reset, want those of the %d reads", batches, n, most)
			}
			close(g.release)
			time.Sleep(time.Minute) // a read takes milliseconds
			if n := g.ids.Load() - began; n > 2*256 {
				t.Errorf("batches %v: %d of 3,000 keys were read whose requests had gone", batches, n)
			}
			_ = s.Close(t.Context())
		})
	}
}

// Of several requests that wait for one read, those that give up take nothing from
// the others, also when the read has not begun.
func TestOneOfSeveralThatWaitForARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{})
		defer here.Close(t.Context())
		_, token := create(t, here)
		s, g := gated(t, store, false, latchkey.LeaseOptions{})
		want(t, "an unknown key", verify(t, s, mustToken(t)), apikey.InvalidKey)
		g.hold = func(string) bool { return true }
		var group sync.WaitGroup
		for range 16 { // as many as are read at a time
			unknown := mustToken(t)
			group.Go(func() { _ = verify(t, s, unknown) })
		}
		synctest.Wait()
		ctx, reset := context.WithCancel(t.Context())
		for i := range 10 {
			group.Go(func() {
				if i%2 == 0 {
					want(t, "a request that stays", verify(t, s, token), nil)
					return
				}
				_, err := s.Verify(ctx, token)
				want(t, "a request that was reset", err, context.Canceled)
			})
		}
		synctest.Wait()
		reset()
		synctest.Wait()
		close(g.release)
		group.Wait()
		_ = s.Close(t.Context())
	})
}

// A store that does not answer for ids that nobody has, whatever its context
// says, keeps nobody waiting for longer than StoreTimeout, and no key that is
// known: neither one that has changed, nor the lease.
func TestKnownKeysDoNotWaitForUnknownOnes(t *testing.T) {
	for _, batches := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := newSharedStore()
			here, _ := process(t, store, latchkey.LeaseOptions{})
			defer here.Close(t.Context())
			s, g := gated(t, store, batches, latchkey.LeaseOptions{})
			k, token := create(t, here)
			_, other := create(t, here)
			want(t, "a known key", verify(t, s, token), nil)
			want(t, "a known key", verify(t, s, other), nil)
			g.hold = func(id string) bool { return id != k.ID }
			var group sync.WaitGroup
			for range 6000 {
				unknown := mustToken(t)
				group.Go(func() {
					began := time.Now()
					want(t, "an unknown key that the store does not answer for", verify(t, s, unknown), apikey.Unavailable)
					if took := time.Since(began); took > 2*time.Second {
						t.Errorf("it waited %v, StoreTimeout is 2s", took)
					}
				})
			}
			synctest.Wait()
			for range 10 {
				began := time.Now()
				if _, err := here.Disable(t.Context(), ops, k.ID, ""); err != nil {
					t.Fatal(err)
				}
				want(t, "a known key that was disabled", verify(t, s, token), apikey.DisabledKey)
				if _, err := here.Enable(t.Context(), ops, k.ID); err != nil {
					t.Fatal(err)
				}
				want(t, "a known key that was enabled", verify(t, s, token), nil)
				want(t, "a known key", verify(t, s, other), nil)
				if took := time.Since(began); took > 2500*time.Millisecond { // two changes, found by polling
					t.Errorf("two changes of a known key took %v", took)
				}
			}
			if h := s.Health(); !h.Ready {
				t.Error("the lease has ended")
			}
			group.Wait()
			close(g.release)
			_ = s.Close(t.Context())
		})
	}
}
