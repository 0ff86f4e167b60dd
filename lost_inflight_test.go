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
)

// A store that lost changes while a key that expires has requests in flight:
// the end of the key still cuts them, whether or not the key can be read again
// by then.
func TestAStoreThatLostChangesWhileAnExpiringKeyIsInFlight(t *testing.T) {
	for _, readable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := newSharedStore()
			stuck := &stuckReads{link: &link{store: store}}
			s := serviceOn(t, stuck, latchkey.Options{Lease: latchkey.LeaseOptions{InflightGrace: -1}})
			defer s.Close(t.Context())
			_, token, err := s.Create(t.Context(), ops, latchkey.NewKey{Name: "short", Owner: "acme", ExpiresAt: time.Now().Add(90 * time.Second)})
			if err != nil {
				t.Fatal(err)
			}
			f := takeOff(t, s, token.Reveal())
			defer f.Leave()
			time.Sleep(50 * time.Second)
			store.mu.Lock()
			store.epoch = "2"
			store.mu.Unlock()
			stuck.on.Store(!readable)
			time.Sleep(39 * time.Second)
			want(t, "before the expiry", f.cause(), nil)
			time.Sleep(2 * time.Second)
			want(t, "after the expiry", f.cause(), apikey.ExpiredKey)
			stuck.on.Store(false)
		})
	}
}

// stuckReads hangs while it reads a key, and answers everything else.
type stuckReads struct {
	*link
	on atomic.Bool
}

func (s *stuckReads) Get(ctx context.Context, id string) (storage.Record, error) {
	if s.on.Load() {
		<-ctx.Done()
		return storage.Record{}, ctx.Err()
	}
	return s.link.Get(ctx, id)
}

// A request in flight was admitted by a later revision than the one that a
// restored backup has: it is judged by what is restored all the same.
func TestRequestsInFlightAreJudgedByARestoredBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		s, _ := process(t, store, latchkey.LeaseOptions{})
		defer s.Close(t.Context())
		k, token := create(t, s)
		if _, err := s.Disable(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		disabled, err := store.mem.Get(t.Context(), k.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Enable(t.Context(), ops, k.ID); err != nil {
			t.Fatal(err)
		}
		f := takeOff(t, s, token)
		defer f.Leave()

		restored := newSharedStore().mem
		if _, err := restored.Apply(t.Context(), storage.Change{Record: disabled, Entry: apikey.AuditEntry{KeyID: k.ID, At: time.Now(), Actor: "restore"}}); err != nil {
			t.Fatal(err)
		}
		store.mu.Lock()
		store.mem, store.epoch = restored, "2"
		store.mu.Unlock()
		time.Sleep(4 * time.Second)
		want(t, "a new request with a key that the backup has disabled", verify(t, s, token), apikey.DisabledKey)
		want(t, "the one in flight", f.cause(), apikey.DisabledKey)
		if _, err := s.Enable(t.Context(), ops, k.ID); err != nil {
			t.Fatal(err)
		}
		want(t, "after it is enabled in the new history", verify(t, s, token), nil)
		f = takeOff(t, s, token)
		defer f.Leave()
		if _, err := s.Revoke(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		want(t, "a request of the new history", f.cause(), apikey.RevokedKey)
	})
}
