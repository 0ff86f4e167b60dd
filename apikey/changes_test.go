package apikey_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// TestChanges: the number grows with every change that this process makes or
// learns of, and not with reads.
func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newSharedStore()
		here, err := apikey.New(&link{store: shared}, apikey.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close(t.Context())
		there, err := apikey.New(&link{store: shared}, apikey.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer there.Close(t.Context())
		last := here.Changes()
		grown := func(what string, want bool) {
			t.Helper()
			n := here.Changes()
			if (n > last) != want {
				t.Errorf("after %s: %d, before %d", what, n, last)
			}
			last = n
		}
		k, token := create(t, here)
		grown("a creation", true)
		if _, err := here.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if _, err := here.List(t.Context(), apikey.ListRequest{}); err != nil {
			t.Fatal(err)
		}
		grown("reads", false)
		if _, err := here.Disable(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		grown("a change", true)
		if _, err := here.Purge(t.Context(), ops, apikey.MinPurgeAge); err != nil {
			t.Fatal(err)
		}
		grown("a purge", true)
		create(t, there) // of a key that this process never saw
		time.Sleep(3 * time.Second)
		grown("a creation elsewhere", true)
		if _, err := there.Enable(t.Context(), ops, k.ID); err != nil {
			t.Fatal(err)
		}
		grown("a change elsewhere", true)
	})
}

// writes counts what is written of usage.
type writes struct {
	apikey.Store
	n atomic.Int64
}

func (w *writes) Unwrap() apikey.Store { return w.Store }
func (w *writes) AddUsage(ctx context.Context, batch []apikey.UsageDelta) error {
	w.n.Add(1)
	return w.Store.AddUsage(ctx, batch)
}

// TestListsShareAFlush: lists of busy keys write usage once a second together,
// and a second later nothing is missing.
func TestListsShareAFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &writes{Store: memstore.New()}
		s, err := apikey.New(store, apikey.Options{FlushEvery: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		k, token := create(t, s)
		use := func() {
			t.Helper()
			v, err := s.Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			v.Count(apikey.OutcomeAllowed, 0, nil)
		}
		counted := func() uint64 {
			t.Helper()
			a, err := s.Activity(t.Context(), []string{k.ID}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.List(t.Context(), apikey.ListRequest{UnusedSince: time.Now()}); err != nil {
				t.Fatal(err)
			}
			n := uint64(0)
			for _, d := range a[0].Days {
				n += d.Counts.Total()
			}
			return n
		}
		time.Sleep(time.Second)
		for range 100 {
			use()
			counted()
		}
		if n := store.n.Load(); n != 1 {
			t.Errorf("200 reads wrote %d times", n)
		}
		time.Sleep(time.Second)
		if n := counted(); n != 100 {
			t.Errorf("%d of 100 requests are counted a second later", n)
		}
		use()
		u, err := s.Usage(t.Context(), k.ID, time.Now().Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if n := u.Of(1).Counts.Total(); n != 101 {
			t.Errorf("the usage of one key has %d of 101 requests", n)
		}
	})
}
