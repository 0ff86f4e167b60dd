package latchkey_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// hiding is a store that does not have its keys while it hides them, as if they
// were created later.
type hiding struct {
	storage.Store
	hide atomic.Bool
	gets atomic.Int64
}

func (h *hiding) Unwrap() storage.Store { return h.Store }

func (h *hiding) Get(ctx context.Context, id string) (storage.Record, error) {
	h.gets.Add(1)
	if h.hide.Load() {
		return storage.Record{}, apikey.NotFound
	}
	return h.Store.Get(ctx, id)
}

// A client that goes on with a key that is gone makes the store work once.
func TestAnUnknownKeyIsRememberedUntilAChange(t *testing.T) {
	mem := memstore.New()
	writer := serviceOn(t, mem, latchkey.Options{})
	k, token := create(t, writer)
	store := &hiding{Store: mem}
	store.hide.Store(true)
	s := serviceOn(t, store, latchkey.Options{})
	for range 100 {
		want(t, "a key that does not exist", verify(t, s, token), apikey.InvalidKey)
	}
	if n := store.gets.Load(); n != 1 {
		t.Errorf("100 requests with an unknown key made %d reads, want 1", n)
	}
	store.hide.Store(false)
	if _, err := writer.Disable(t.Context(), ops, k.ID, "wait"); err != nil {
		t.Fatal(err)
	}
	want(t, "a request after a change of the key was announced", verify(t, s, token), apikey.DisabledKey)
}

// The race that remembering must win: a read does not find the key, the key is
// created and announced, and only then the read returns. Whoever asked for it has
// gone, so nobody reads again for him.
func TestAnUnknownKeyThatAChangeOvertookIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		writer := serviceOn(t, mem, latchkey.Options{})
		defer writer.Close(t.Context())
		k, token := create(t, writer)
		hidden := &hiding{Store: mem}
		hidden.hide.Store(true)
		slow := &slowReads{Store: hidden, read: make(chan struct{}), release: make(chan struct{})}
		s := serviceOn(t, slow, latchkey.Options{})
		defer s.Close(t.Context())

		ctx, cancel := context.WithCancel(t.Context())
		early := make(chan error)
		go func() { _, err := s.Verify(ctx, token); early <- err }()
		<-slow.read // it has found nothing
		hidden.hide.Store(false)
		if _, err := writer.Disable(t.Context(), ops, k.ID, "wait"); err != nil {
			t.Fatal(err)
		}
		cancel()
		close(slow.release)
		want(t, "the request that gave up", <-early, context.Canceled)
		want(t, "a request after it", verify(t, s, token), apikey.DisabledKey)
	})
}

func TestAnUnknownKeyIsRememberedForMaxStaleWithoutNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		elsewhere := serviceOn(t, mem, latchkey.Options{})
		defer elsewhere.Close(t.Context())
		_, token := create(t, elsewhere)
		store := &hiding{Store: silent{mem}}
		store.hide.Store(true)
		s := serviceOn(t, store, latchkey.Options{MaxStale: 3 * time.Second})
		defer s.Close(t.Context())
		want(t, "not there yet", verify(t, s, token), apikey.InvalidKey)
		store.hide.Store(false)
		time.Sleep(3*time.Second - 1)
		want(t, "within MaxStale", verify(t, s, token), apikey.InvalidKey)
		if n := store.gets.Load(); n != 1 {
			t.Errorf("%d reads within MaxStale, want 1", n)
		}
		time.Sleep(time.Nanosecond)
		want(t, "after MaxStale", verify(t, s, token), nil)
	})
}
