package latchkey_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// What a request costs the store. TestManyFirstUsesOfOneKeyAreOneRead, beside
// the other tests of the cache, holds the one read of a thousand first uses.

func TestACachedKeyCostsNoRead(t *testing.T) {
	count := &counting{Store: memstore.New()}
	s := serviceOn(t, count, latchkey.Options{})
	_, good := create(t, s)
	off, disabled := create(t, s)
	if _, err := s.Disable(t.Context(), ops, off.ID, ""); err != nil {
		t.Fatal(err)
	}
	_, expiring := create(t, s, func(n *latchkey.NewKey) { n.ExpiresAt = time.Now().Add(time.Hour) })
	for _, token := range []string{good, disabled, expiring} {
		_ = verify(t, s, token)
	}
	before := count.gets.Load()

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				v, err := engine.Of(s).Verify(t.Context(), good)
				if err != nil {
					t.Errorf("a cached key: %v", err)
					return
				}
				v.Count(apikey.OK, 0, fromHome)
				want(t, "a cached key that is disabled", verify(t, s, disabled), apikey.DisabledKey)
				want(t, "a cached key that will expire", verify(t, s, expiring), nil)
			}
		})
	}
	wg.Wait()
	if n := count.gets.Load() - before; n != 0 {
		t.Errorf("24,000 requests with cached keys made %d reads, want 0 a request", n)
	}
}

func TestAChangeCostsTheNextRequestOneRead(t *testing.T) {
	mem := memstore.New()
	count := &counting{Store: mem}
	s := serviceOn(t, count, latchkey.Options{})
	elsewhere := serviceOn(t, mem, latchkey.Options{}) // so that only requests are counted
	k, token := create(t, elsewhere)
	_, other := create(t, elsewhere)
	want(t, "before the change", verify(t, s, token), nil)
	want(t, "another key", verify(t, s, other), nil)
	for _, change := range []struct {
		name  string
		make  func() error
		after error
	}{
		{"disabled", func() error { _, err := elsewhere.Disable(t.Context(), ops, k.ID, ""); return err }, apikey.DisabledKey},
		{"enabled", func() error { _, err := elsewhere.Enable(t.Context(), ops, k.ID); return err }, nil},
		{"revoked", func() error { _, err := elsewhere.Revoke(t.Context(), ops, k.ID, "leaked"); return err }, apikey.RevokedKey},
	} {
		before := count.gets.Load()
		if err := change.make(); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			want(t, change.name, verify(t, s, token), change.after)
			want(t, "another key", verify(t, s, other), nil)
		}
		if n := count.gets.Load() - before; n != 1 {
			t.Errorf("a key that was %s: 200 requests made %d reads, want 1, of the key that changed", change.name, n)
		}
	}
}

// heldReads holds every Get until it is released.
type heldReads struct {
	storage.Store
	release chan struct{}
}

func (h *heldReads) Unwrap() storage.Store { return h.Store }

func (h *heldReads) Get(ctx context.Context, id string) (storage.Record, error) {
	<-h.release
	return h.Store.Get(ctx, id)
}

func TestFirstUsesOfSeveralKeysAreOneReadEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		writer := serviceOn(t, mem, latchkey.Options{})
		defer writer.Close(t.Context())
		held := &heldReads{mem, make(chan struct{})}
		count := &counting{Store: held}
		s := serviceOn(t, count, latchkey.Options{})
		defer s.Close(t.Context())
		const keys = 10
		var wg sync.WaitGroup
		for range keys {
			_, token := create(t, writer)
			for range 100 {
				wg.Go(func() { want(t, "one of many first uses", verify(t, s, token), nil) })
			}
		}
		synctest.Wait() // all of them wait for their key's read
		close(held.release)
		wg.Wait()
		if n := count.gets.Load(); n != keys {
			t.Errorf("100 concurrent first uses of each of %d keys made %d reads, want one a key", keys, n)
		}
	})
}

// A flood of one unknown key reads no more than one of a known one, as long as
// the read takes. Later requests read again: that a key is unknown is not kept.
func TestConcurrentUsesOfAnUnknownKeyAreOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := &heldReads{memstore.New(), make(chan struct{})}
		count := &counting{Store: held}
		s := serviceOn(t, count, latchkey.Options{})
		defer s.Close(t.Context())
		token := mustToken(t)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { want(t, "an unknown key", verify(t, s, token), apikey.InvalidKey) })
		}
		synctest.Wait()
		close(held.release)
		wg.Wait()
		if n := count.gets.Load(); n != 1 {
			t.Errorf("1,000 concurrent uses of an unknown key made %d reads, want 1", n)
		}
	})
}
