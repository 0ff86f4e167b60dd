package latchkey_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
)

// TestHealthCountsWhatTheServiceHolds: keys, requests in flight, and reads of the store.
func TestHealthCountsWhatTheServiceHolds(t *testing.T) {
	t.Parallel()
	s := newService(t, latchkey.Options{})
	var flights [3]engine.Flight
	_, token := create(t, s)
	_, other := create(t, s)
	_, _ = s.Verify(t.Context(), other)
	for i := range flights {
		v, err := engine.Of(s).Verify(t.Context(), token)
		if err != nil || !v.Enter(&flights[i], noCutter{}) {
			t.Fatal("not admitted", err)
		}
	}
	if h := s.Health(); h.Keys != 2 || s.InFlight() != 3 || h.Loads != 2 || h.LeaseAge != 0 {
		t.Errorf("two keys were read once each, and one has three requests in flight: %+v", h)
	}
	flights[1].Leave()
	if n := s.InFlight(); n != 2 {
		t.Errorf("%d requests in flight, want 2", n)
	}
}

type noCutter struct{}

func (noCutter) Cut(error) {}
func (noCutter) Sever()    {}

// TestTheDelayOfAChangeIsObserved: from when it was made until it is in force, requests in flight included.
func TestTheDelayOfAChangeIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true}, withoutPush)
		there, link := process(t, store, latchkey.LeaseOptions{Length: 30 * time.Second, Every: 2 * time.Second}, withoutPush)
		k, token := create(t, here)
		time.Sleep(5 * time.Second)
		var flight engine.Flight
		v, err := engine.Of(there).Verify(t.Context(), token)
		if err != nil || !v.Enter(&flight, noCutter{}) {
			t.Fatal("not admitted", err)
		}
		defer flight.Leave()
		var delays []time.Duration
		var panics atomic.Int32
		stopPanics := there.ObserveDelay(func(time.Duration) { panics.Add(1); panic("an observer") })
		stop := there.ObserveDelay(func(d time.Duration) { delays = append(delays, d) })

		link.cut.Store(true)
		revoked := time.Now()
		want(t, "revoke", second(here.Revoke(t.Context(), ops, k.ID, "leaked")), nil)
		time.Sleep(4 * time.Second)
		if age := there.Health().LeaseAge; age < 4*time.Second || age > 7*time.Second {
			t.Errorf("4 s after the store was cut off, the lease is %v old", age)
		}
		if len(delays) > 0 {
			t.Errorf("a change that is not in force has a delay: %v", delays)
		}
		link.cut.Store(false)
		for flight.Leave() != apikey.RevokedKey && time.Since(revoked) < time.Minute {
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		took := time.Since(revoked)
		time.Sleep(time.Second)
		if len(delays) != 1 || delays[0] < 4*time.Second || delays[0] > took {
			t.Errorf("a change that was in force after 4 s, and no later than after %v, has the delays %v", took, delays)
		}
		if panics.Load() != 1 {
			t.Errorf("an observer that panics was told %d times, want once", panics.Load())
		}
		stop()
		stopPanics()
		create(t, here)
		time.Sleep(5 * time.Second)
		if len(delays) != 1 || panics.Load() != 1 {
			t.Error("an observer that has stopped is told")
		}
	})
}

// TestAChangeOfUnknownAgeHasNoDelay: a store need not know it.
func TestAChangeOfUnknownAgeHasNoDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		feed := &edited{link: &link{store: store, delay: time.Millisecond}}
		feed.edit = func(_ storage.FeedQuery, p *storage.FeedPage) {
			p.Changes = slices.Clone(p.Changes)
			for i := range p.Changes {
				p.Changes[i].Age = 0
			}
		}
		s := serviceOn(t, feed, latchkey.Options{})
		s.ObserveDelay(func(d time.Duration) { t.Errorf("a change of unknown age has the delay %v", d) })
		create(t, s)
		time.Sleep(5 * time.Second)
	})
}

func second[T any](_ T, err error) error { return err }
