package latchkey_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// edited is a feed whose answers a test changes.
type edited struct {
	*link
	edit func(q storage.FeedQuery, p *storage.FeedPage)
}

func (e *edited) Poll(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	p, err := e.link.Poll(ctx, q)
	if err == nil && e.edit != nil {
		e.edit(q, &p)
	}
	return p, err
}

// A poll that reads the feed in several pages ends also when the store loses
// changes between two of them: the head that the first page told is never reached.
func TestAPollEndsWhenTheHeadGoesBackWithinIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true})
		defer here.Close(t.Context())
		_, token := create(t, here)
		lost := false
		feed := &edited{link: &link{store: store, delay: time.Millisecond}}
		feed.noPush.Store(true)
		feed.edit = func(q storage.FeedQuery, p *storage.FeedPage) {
			if q.After == 1 && p.Head == 6 { // as if there were more than a page
				p.Changes = p.Changes[:3]
				lost = true
				store.mu.Lock()
				store.changes = store.changes[:2]
				store.mu.Unlock()
			}
		}
		s := serviceOn(t, feed, latchkey.Options{})
		want(t, "before", verify(t, s, token), nil)
		for range 5 {
			create(t, here)
		}
		polls := feed.polls.Load()
		for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
			if h := s.Health(); !h.Ready || h.Error != "" {
				t.Fatalf("health while the head goes back: %+v", h)
			}
		}
		if !lost {
			t.Fatal("the store has lost nothing")
		}
		if n := feed.polls.Load() - polls; n > 60 {
			t.Errorf("%d polls in 20 s, one a second is usual", n)
		}
		if h := s.Health(); h.Position != 2 {
			t.Errorf("health afterwards: %+v", h)
		}
		want(t, "afterwards", verify(t, s, token), nil)
		_ = s.Close(t.Context())
	})
}

// A feed that says there is more, and does not go on, is an error and no loop; the
// process is not ready then, and polls as it does in an outage.
func TestAFeedThatDoesNotGoOnIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true})
		defer here.Close(t.Context())
		_, token := create(t, here)
		feed := &edited{link: &link{store: store, delay: time.Millisecond}}
		feed.noPush.Store(true)
		feed.edit = func(_ storage.FeedQuery, p *storage.FeedPage) {
			if p.Head > 1 {
				p.Head, p.Changes = 9, []storage.FeedChange{{Position: 1}}
			}
		}
		s := serviceOn(t, feed, latchkey.Options{})
		want(t, "before", verify(t, s, token), nil)
		create(t, here)
		polls := feed.polls.Load()
		time.Sleep(10 * time.Second)
		if n := feed.polls.Load() - polls; n > 300 {
			t.Errorf("%d polls in 10 s", n)
		}
		if h := s.Health(); h.Ready || h.Error == "" {
			t.Errorf("health: %+v", h)
		}
		want(t, "a key that nobody can vouch for", verify(t, s, token), apikey.Unavailable)
		_ = s.Close(t.Context())
	})
}

// A store that loses a change while its writer waits for the others keeps the
// writer no longer than they need.
func TestAChangeThatTheStoreLosesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{})
		defer here.Close(t.Context())
		there, _ := process(t, store, latchkey.LeaseOptions{}, withoutPush)
		defer there.Close(t.Context())
		k, _ := create(t, here)
		for range 5 {
			create(t, here)
		}
		time.Sleep(2 * time.Second)
		began := time.Now()
		go func() {
			time.Sleep(20 * time.Millisecond) // it has been committed, and the others have not polled
			store.mu.Lock()
			store.changes = slices.Clone(store.changes[:3])
			store.mu.Unlock()
		}()
		if _, err := here.Disable(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("Disable took %v; the other process polls every second", took)
		}
	})
}

// reluctant is a store whose reads hang while it is told so.
type reluctant struct {
	*link
	hang atomic.Bool
}

func (r *reluctant) Get(ctx context.Context, id string) (storage.Record, error) {
	if r.hang.Load() {
		<-ctx.Done()
		return storage.Record{}, ctx.Err()
	}
	return r.link.Get(ctx, id)
}

// Reads that hang do not end the lease: a poll that has changed keys in flight to
// look at does not wait for them until the next one is too late.
func TestReadsThatHangDoNotEndTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true})
		defer here.Close(t.Context())
		r := &reluctant{link: &link{store: store, delay: time.Millisecond}}
		s := serviceOn(t, r, latchkey.Options{Lease: latchkey.LeaseOptions{Length: time.Second}})
		k, token := create(t, here)
		_, other := create(t, here)
		want(t, "before", verify(t, s, other), nil)
		f := takeOff(t, s, token)
		r.hang.Store(true)
		if _, err := here.Disable(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(10 * time.Millisecond) {
			asked := time.Now()
			if err := verify(t, s, other); err != nil || time.Since(asked) > 0 {
				t.Fatalf("another key, after %v of reads that hang, was answered after %v: %v", time.Since(began), time.Since(asked), err)
			}
		}
		r.hang.Store(false)
		time.Sleep(4 * time.Second)
		if !errors.Is(f.cause(), apikey.DisabledKey) {
			t.Errorf("the request in flight with the key that was disabled: %v", f.cause())
		}
		_ = s.Close(t.Context())
	})
}
