package latchkey_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

func TestAFoundSecretStandsInTheTrail(t *testing.T) {
	s := newService(t, latchkey.Options{})
	k, token := create(t, s)
	found, err := s.RecordFound(t.Context(), apikey.Actor{ID: "ann", From: "10.0.0.1"}, k.ID, 1)
	if err != nil || found.Revision != k.Revision+1 {
		t.Fatalf("%+v, %v", found, err)
	}
	want(t, "the key goes on", verify(t, s, token), nil)
	trail, err := s.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID})
	if err != nil || len(trail) != 2 || trail[0].Action != "found" || trail[0].Actor != "ann" || trail[0].From != "10.0.0.1" || trail[0].Details["secret"] != "1" {
		t.Errorf("the trail is %+v, %v", trail, err)
	}
	_, err = s.RecordFound(t.Context(), apikey.Actor{}, k.ID, 1)
	want(t, "by nobody", err, apikey.InvalidArgument)
	_, err = s.RecordFound(t.Context(), ops, "unknown", 1)
	want(t, "of no key", err, apikey.NotFound)
	if _, err := s.Revoke(t.Context(), ops, k.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RecordFound(t.Context(), ops, k.ID, 1); err != nil {
		t.Errorf("of a revoked key: %v", err)
	}
	if trail, err := s.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID}); err != nil || len(trail) != 3 {
		t.Errorf("the trail of a revoked key goes on: %+v, %v", trail, err)
	}
}

func TestIdentifyFindsAKeyWithoutUsingIt(t *testing.T) {
	s := newService(t, latchkey.Options{})
	k, token := create(t, s)
	id, err := s.Identify(t.Context(), token)
	if err != nil || id.Key.ID != k.ID || id.Secret.Number != 1 || !id.Works {
		t.Fatalf("Identify = %+v, %v", id, err)
	}
	_, fresh, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Immediately: true})
	if err != nil {
		t.Fatal(err)
	}
	if id, err = s.Identify(t.Context(), token); err != nil || id.Works || id.Secret.Number != 1 {
		t.Errorf("the rotated-out secret: %+v, %v", id, err)
	}
	if id, err = s.Identify(t.Context(), fresh.Reveal()); err != nil || !id.Works || id.Secret.Number != 2 {
		t.Errorf("the new secret: %+v, %v", id, err)
	}
	_, err = s.Identify(t.Context(), latchkey.Mint(k.ID).Reveal())
	want(t, "right id, wrong secret", err, apikey.NotFound)
	_, err = s.Identify(t.Context(), "hello")
	want(t, "no key at all", err, apikey.InvalidArgument)
	if u, err := s.Usage(t.Context(), k.ID, time.Time{}); err != nil || len(u.Secrets) != 0 {
		t.Errorf("Identify counted as usage: %+v, %v", u, err)
	}
}

func TestPurgeTakesOnlyWhatIsLongRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, latchkey.Options{FlushEvery: time.Hour})
		defer s.Close(t.Context())
		old, oldToken := create(t, s)
		young, youngToken := create(t, s)
		_, aliveToken := create(t, s)
		revoke := func(id string) {
			if _, err := s.Revoke(t.Context(), ops, id, ""); err != nil {
				t.Fatal(err)
			}
		}
		revoke(old.ID)
		time.Sleep(47 * time.Hour)
		revoke(young.ID)
		time.Sleep(time.Hour)
		_, err := s.Purge(t.Context(), ops, time.Minute)
		want(t, "purge of what was just revoked", err, apikey.InvalidArgument)
		n, err := s.Purge(t.Context(), ops, 48*time.Hour)
		if n != 1 || err != nil {
			t.Fatalf("Purge = %d, %v, want 1", n, err)
		}
		want(t, "purged", verify(t, s, oldToken), apikey.InvalidKey)
		want(t, "revoked an hour ago", verify(t, s, youngToken), apikey.RevokedKey)
		want(t, "alive", verify(t, s, aliveToken), nil)
		trail, _ := s.Audit(t.Context(), apikey.AuditQuery{KeyID: old.ID})
		if len(trail) != 3 || trail[0].Action != "purge" {
			t.Errorf("the audit trail of a purged key has %d entries", len(trail))
		}
	})
}

func TestDueKeysAreReportedAheadOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		due := make(chan apikey.Key, 10)
		s := newService(t, latchkey.Options{
			MaxAge: 90 * 24 * time.Hour, DueAhead: 7 * 24 * time.Hour, FlushEvery: time.Hour,
			OnDue: func(_ context.Context, k apikey.Key) { due <- k },
		})
		defer s.Close(t.Context())
		k, _ := create(t, s)
		time.Sleep(83*24*time.Hour - time.Minute)
		if len(due) != 0 {
			t.Error("OnDue was called more than a week ahead")
		}
		time.Sleep(24 * time.Hour)
		if len(due) != 1 {
			t.Fatalf("OnDue was called %d times, want once", len(due))
		}
		if got, _ := s.Due(t.Context(), "", 0); len(got) != 0 {
			t.Error("a key is due before its maximum age")
		}
		time.Sleep(7 * 24 * time.Hour)
		if got, _ := s.Due(t.Context(), "", 0); len(got) != 1 || got[0].ID != k.ID {
			t.Errorf("due keys: %v", got)
		}
		if got, _ := s.Due(t.Context(), "somebody else", 0); len(got) != 0 {
			t.Errorf("due keys of another owner: %v", got)
		}
		if _, _, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, _ := s.Due(t.Context(), "", 0); len(got) != 0 {
			t.Error("a rotated key is still due")
		}
	})
}

// A key that is due is told of once, however many processes share the store and
// however often they start anew; its next secret is told of when it is due.
func TestOnDueIsCalledOnceASecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		var mu sync.Mutex
		told := map[string]int{}
		start := func() *latchkey.Service {
			return serviceOn(t, &link{store: store, delay: time.Millisecond}, latchkey.Options{
				MaxAge: 10 * time.Hour, DueAhead: 2 * time.Hour, FlushEvery: time.Hour, Lease: latchkey.LeaseOptions{Length: time.Hour},
				OnDue: func(_ context.Context, k apikey.Key) {
					mu.Lock()
					defer mu.Unlock()
					told[fmt.Sprint(k.ID, k.Secrets[0].Number)]++
				},
			})
		}
		all := []*latchkey.Service{start(), start(), start()}
		var ids []string
		for range 20 {
			k, _ := create(t, all[0])
			ids = append(ids, k.ID)
		}
		once := func(secret int) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				if n := told[fmt.Sprint(id, secret)]; n != 1 {
					t.Errorf("OnDue was called %d times for secret %d of a key, want once", n, secret)
				}
			}
		}
		time.Sleep(9*time.Hour + 30*time.Minute)
		once(1)
		for i, s := range all {
			_ = s.Close(t.Context())
			all[i] = start()
		}
		time.Sleep(90 * time.Minute)
		once(1)
		for _, id := range ids {
			if _, _, err := all[1].Rotate(t.Context(), ops, id, latchkey.RotateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(9*time.Hour + 30*time.Minute)
		once(2)
		for _, s := range all {
			_ = s.Close(t.Context())
		}
	})
}
