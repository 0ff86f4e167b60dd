package latchkey_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage/memstore"
)

// rotation runs a test body in a bubble with a key that is being rotated.
func rotation(t *testing.T, o latchkey.RotateOptions, body func(t *testing.T, s *latchkey.Service, k apikey.Key, old, fresh string)) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, latchkey.Options{FlushEvery: time.Hour})
		defer s.Close(t.Context())
		k, old := create(t, s)
		time.Sleep(time.Hour)
		use(t, s, old)
		k, fresh, err := s.Rotate(t.Context(), ops, k.ID, o)
		if err != nil {
			t.Fatal(err)
		}
		body(t, s, k, old, fresh.Reveal())
	})
}

// use makes one admitted request.
func use(t testing.TB, s *latchkey.Service, token string) {
	t.Helper()
	v, err := engine.Of(s).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	v.Count(apikey.OK, 0, fromHome)
	synctest.Wait()
}

func TestRotateLetsBothSecretsWorkUntilTheGraceEnds(t *testing.T) {
	rotation(t, latchkey.RotateOptions{}, func(t *testing.T, s *latchkey.Service, k apikey.Key, old, fresh string) {
		if len(k.Secrets) != 2 || k.Secrets[0].Number != 2 || k.Secrets[1].Number != 1 || !strings.HasPrefix(fresh, "sk_live_"+k.ID+"_") {
			t.Fatalf("rotated key: %+v", k.Secrets)
		}
		want(t, "old secret", verify(t, s, old), nil)
		want(t, "new secret", verify(t, s, fresh), nil)
		a, _ := engine.Of(s).Verify(t.Context(), old)
		b, _ := engine.Of(s).Verify(t.Context(), fresh)
		if a.Principal().KeyID() != b.Principal().KeyID() || a.Principal().Secret() != 1 || b.Principal().Secret() != 2 {
			t.Error("the two secrets are not those of one key")
		}
		_, _, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{})
		want(t, "a third secret", err, apikey.InvalidState)
		time.Sleep(24*time.Hour - time.Nanosecond)
		want(t, "old secret, just before its grace ends", verify(t, s, old), nil)
		time.Sleep(time.Microsecond)
		want(t, "old secret, after its grace", verify(t, s, old), apikey.ExpiredKey)
		want(t, "new secret", verify(t, s, fresh), nil)
		if _, _, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{}); err != nil {
			t.Errorf("rotating again after the grace: %v", err)
		}
	})
}

func TestRotateImmediatelyEndsTheOldSecretNow(t *testing.T) {
	rotation(t, latchkey.RotateOptions{Immediately: true}, func(t *testing.T, s *latchkey.Service, _ apikey.Key, old, fresh string) {
		want(t, "old secret", verify(t, s, old), apikey.ExpiredKey)
		want(t, "new secret", verify(t, s, fresh), nil)
	})
}

func TestGraceNeverExtendsTheKeysOwnExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, latchkey.Options{})
		defer s.Close(t.Context())
		k, old := create(t, s, func(n *latchkey.NewKey) { n.ExpiresAt = time.Now().Add(time.Hour) })
		_, fresh, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Grace: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		want(t, "old secret of an expired key", verify(t, s, old), apikey.ExpiredKey)
		want(t, "new secret of an expired key", verify(t, s, fresh.Reveal()), apikey.ExpiredKey)
	})
}

func TestGraceCanStartWithTheFirstUseOfTheNewSecret(t *testing.T) {
	rotation(t, latchkey.RotateOptions{StartOnFirstUse: true, Grace: time.Hour}, func(t *testing.T, s *latchkey.Service, k apikey.Key, old, fresh string) {
		time.Sleep(30 * 24 * time.Hour)
		want(t, "old secret, a month later, the new one unused", verify(t, s, old), nil)
		use(t, s, fresh)
		got, err := s.Get(t.Context(), k.ID)
		if err != nil || got.Secrets[1].EndsAt != got.Secrets[0].FirstUsedAt.Add(time.Hour) {
			t.Errorf("first use was not written down: %+v, %v", got.Secrets, err)
		}
		time.Sleep(time.Hour - time.Second)
		want(t, "old secret within the grace", verify(t, s, old), nil)
		time.Sleep(2 * time.Second)
		want(t, "old secret after the grace", verify(t, s, old), apikey.ExpiredKey)
		trail, _ := s.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID, Limit: 1})
		if trail[0].Action != "first_use" || trail[0].Actor != "latchkey" {
			t.Errorf("audit: %+v", trail[0])
		}
	})
}

func TestFinishRotationProvesItselfFirst(t *testing.T) {
	rotation(t, latchkey.RotateOptions{Grace: 90 * 24 * time.Hour}, func(t *testing.T, s *latchkey.Service, k apikey.Key, old, fresh string) {
		refused := func(rule, reason string) {
			t.Helper()
			_, err := s.FinishRotation(t.Context(), ops, k.ID, false)
			e, ok := errors.AsType[*apikey.Error](err)
			if !ok || e.Code != apikey.SecretInUse || !strings.Contains(e.Msg, reason) {
				t.Errorf("%s: got %v, want secret_in_use because of %q", rule, err, reason)
			}
			if got, _ := s.Rotation(t.Context(), k.ID); got.Safe {
				t.Errorf("%s: Rotation calls it safe", rule)
			}
		}
		time.Sleep(24 * time.Hour)
		refused("the new secret is not deployed", "has not been used yet")
		use(t, s, fresh)
		use(t, s, old)
		time.Sleep(10 * time.Minute)
		refused("the old secret is in use", "last used 10m0s ago")
		f := takeOff(t, s, old)
		time.Sleep(2 * time.Hour)
		refused("a request with the old secret is in flight", "1 requests")
		f.Leave()
		rot, err := s.Rotation(t.Context(), k.ID)
		if err != nil || !rot.Safe || !strings.Contains(rot.Reason, "safe to finish") ||
			rot.OldUsage.Last.Network != "10.1.2.0/24" || rot.OldUsage.Last.UserAgent != "curl/8.5.0" {
			t.Errorf("Rotation = %+v, %v", rot, err)
		}
		if _, err := s.FinishRotation(t.Context(), ops, k.ID, false); err != nil {
			t.Fatalf("finishing a rotation that has gone quiet: %v", err)
		}
		want(t, "old secret", verify(t, s, old), apikey.ExpiredKey)
		want(t, "new secret", verify(t, s, fresh), nil)
		_, err = s.FinishRotation(t.Context(), ops, k.ID, false)
		want(t, "finishing twice", err, apikey.InvalidState)
	})
}

func TestFinishRotationCanBeForced(t *testing.T) {
	rotation(t, latchkey.RotateOptions{}, func(t *testing.T, s *latchkey.Service, k apikey.Key, old, fresh string) {
		f := takeOff(t, s, old)
		if _, err := s.FinishRotation(t.Context(), ops, k.ID, true); err != nil {
			t.Fatal(err)
		}
		want(t, "in flight with the old secret", f.cause(), apikey.ExpiredKey)
		want(t, "old secret", verify(t, s, old), apikey.ExpiredKey)
		want(t, "new secret", verify(t, s, fresh), nil)
		trail, _ := s.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID, Limit: 1})
		if trail[0].Details["forced"] != "true" {
			t.Errorf("the audit trail does not say that it was forced: %+v", trail[0])
		}
	})
}

func TestCancelRotationGoesBack(t *testing.T) {
	rotation(t, latchkey.RotateOptions{}, func(t *testing.T, s *latchkey.Service, k apikey.Key, old, fresh string) {
		f := takeOff(t, s, fresh)
		after, err := s.CancelRotation(t.Context(), ops, k.ID)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "in flight with the new secret", f.cause(), apikey.ExpiredKey)
		want(t, "new secret", verify(t, s, fresh), apikey.ExpiredKey)
		time.Sleep(90 * 24 * time.Hour)
		want(t, "old secret, without an end again", verify(t, s, old), nil)
		if after.Secrets[0].Number != 1 {
			t.Errorf("secrets after cancel: %+v", after.Secrets)
		}
		again, _, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{})
		if err != nil || again.Secrets[0].Number != 3 {
			t.Errorf("a secret's number was used again: %+v, %v", again.Secrets, err)
		}
	})
	rotation(t, latchkey.RotateOptions{Immediately: true}, func(t *testing.T, s *latchkey.Service, k apikey.Key, _, _ string) {
		_, err := s.CancelRotation(t.Context(), ops, k.ID)
		want(t, "nothing to go back to", err, apikey.InvalidState)
	})
}

// TestRotationWithANumberIsMadeOnce: a rotation that names the secret it makes
// is not repeated, whatever has happened to the key since.
func TestRotationWithANumberIsMadeOnce(t *testing.T) {
	rotation(t, latchkey.RotateOptions{Immediately: true, Number: 2}, func(t *testing.T, s *latchkey.Service, k apikey.Key, _, fresh string) {
		again := func(rule string, number uint32) {
			t.Helper()
			_, token, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Immediately: true, Number: number})
			want(t, rule, err, apikey.Conflict)
			if token != (latchkey.Token{}) {
				t.Errorf("%s: a token came with the refusal", rule)
			}
			want(t, rule+": the secret that is there", verify(t, s, fresh), nil)
		}
		again("asked for twice", 2)
		again("a number that was used before", 1)
		again("a number that has not come yet", 4)
		next, _, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Number: k.NextSecret()})
		if err != nil || next.Secrets[0].Number != 3 {
			t.Fatalf("the next rotation: %+v, %v", next.Secrets, err)
		}
		again("while the key is being rotated", 3)
		back, err := s.CancelRotation(t.Context(), ops, k.ID)
		if err != nil || back.NextSecret() != 4 {
			t.Fatalf("after a cancelled rotation the next secret is number %d, want 4: %v", back.NextSecret(), err)
		}
		again("a rotation that was cancelled", 3)
	})
}

// TestRotationsRaceForANumber: of many that ask for the same rotation at once,
// one gets the secret.
func TestRotationsRaceForANumber(t *testing.T) {
	t.Parallel()
	s := newService(t, latchkey.Options{})
	k, _ := create(t, s)
	var wg sync.WaitGroup
	var made, told atomic.Int32
	for range 16 {
		wg.Go(func() {
			switch _, _, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Immediately: true, Number: 2}); apikey.CodeOf(err) {
			case apikey.OK:
				made.Add(1)
			case apikey.Conflict:
				told.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || told.Load() != 15 {
		t.Errorf("one rotation was asked for 16 times: made %d times, refused %d times", made.Load(), told.Load())
	}
}

func TestARotationThatIsNotKnownToBeMadeHasNoToken(t *testing.T) {
	store := &uncertain{Store: memstore.New()}
	s := serviceOn(t, store, latchkey.Options{})
	k, _ := create(t, s)
	store.fail.Store(true)
	got, token, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{})
	want(t, "rotate on a store that fails", err, apikey.Unavailable)
	if got.ID != "" || token != (latchkey.Token{}) {
		t.Errorf("got %+v and a token, as if the rotation were made", got)
	}
}

func TestRotateRefusesBadGrace(t *testing.T) {
	s := newService(t, latchkey.Options{})
	k, _ := create(t, s)
	for _, o := range []latchkey.RotateOptions{
		{Grace: -1}, {Grace: latchkey.MaxGrace + 1}, {Immediately: true, Grace: 1}, {Immediately: true, StartOnFirstUse: true},
	} {
		_, _, err := s.Rotate(t.Context(), ops, k.ID, o)
		want(t, "bad grace", err, apikey.InvalidArgument)
	}
}
