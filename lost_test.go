package latchkey_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// A store that lost changes (a failover to a replica that lagged, a backup that
// was restored): nothing that is cached holds, and revocations are made again.
func TestAStoreThatLostChanges(t *testing.T) {
	for _, how := range []string{"failover", "restore"} {
		synctest.Test(t, func(t *testing.T) {
			store := newSharedStore()
			here, l := process(t, store, latchkey.LeaseOptions{}, withoutPush)
			defer here.Close(t.Context())
			k, token := create(t, here)
			other, fine := create(t, here)
			want(t, "before", verify(t, here, token), nil)
			want(t, "before", verify(t, here, fine), nil)
			before, err := store.mem.Get(t.Context(), k.ID)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := here.Revoke(t.Context(), ops, k.ID, "leaked"); err != nil {
				t.Fatal(err)
			}
			store.mu.Lock()
			restored := newSharedStore().mem // a copy from before the revocation
			for _, id := range []string{k.ID, other.ID} {
				r, err := store.mem.Get(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if id == k.ID {
					r = before
				} else {
					r.Key.DisabledAt, r.Key.DisabledBy = time.Now(), "somebody whom nobody heard"
				}
				if _, err := restored.Apply(t.Context(), storage.Change{Record: r, Entry: apikey.AuditEntry{KeyID: id, At: time.Now(), Actor: "restore"}}); err != nil {
					t.Fatal(err)
				}
			}
			store.mem = restored
			if how == "failover" {
				store.changes = store.changes[:len(store.changes)-1]
			} else {
				store.epoch = "2"
			}
			store.mu.Unlock()
			reads := l.reads.Load()
			time.Sleep(4 * time.Second)
			want(t, how+": a key whose revocation the store lost", verify(t, here, token), apikey.RevokedKey)
			want(t, how+": another key, which changed meanwhile", verify(t, here, fine), apikey.DisabledKey)
			if l.reads.Load() == reads {
				t.Errorf("%s: nothing was read again", how)
			}
			r, err := store.mem.Get(t.Context(), k.ID)
			if err != nil || r.Key.RevokedAt.IsZero() {
				t.Errorf("%s: the revocation was not made again: %v", how, err)
			}
		})
	}
}
