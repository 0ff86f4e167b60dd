package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// After Revoke returned, no process accepts the key; and with a store that
// pushes it returns in the time of a few round trips.
func TestRevokeReturnsWhenEveryProcessHasIt(t *testing.T) {
	for _, push := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := newSharedStore()
			var services []*latchkey.Service
			for range 3 {
				s, l := process(t, store, latchkey.LeaseOptions{})
				l.noPush.Store(!push)
				defer s.Close(t.Context())
				services = append(services, s)
			}
			time.Sleep(2 * time.Second) // all have registered
			for round := range 20 {
				k, token := create(t, services[0])
				for _, s := range services {
					want(t, "a key that was created elsewhere", verify(t, s, token), nil)
				}
				time.Sleep(time.Duration(round*37) * time.Millisecond)
				began := time.Now()
				if _, err := services[round%3].Revoke(t.Context(), ops, k.ID, ""); err != nil {
					t.Fatal(err)
				}
				took := time.Since(began)
				for _, s := range services {
					want(t, "a key that was revoked elsewhere", verify(t, s, token), apikey.RevokedKey)
				}
				if most := map[bool]time.Duration{true: 50 * time.Millisecond, false: 1200 * time.Millisecond}[push]; took > most {
					t.Errorf("push %v: Revoke took %v of healthy processes, want at most %v", push, took, most)
				}
			}
		})
	}
}

// A process that is cut off accepts a revoked key no longer than a lease after
// the revocation was committed, and then answers that it cannot know, never that
// a key is bad. Revoke waits no longer than that for it.
func TestAPartitionEndsWithTheLease(t *testing.T) {
	const length = 3 * time.Second
	rng := rand.New(rand.NewPCG(7, 7))
	trials := longer(24, 1000)
	for trial := range trials {
		store, push := trial%3 != 0, trial%3 != 1 // what is cut: push, the store, or both
		synctest.Test(t, func(t *testing.T) {
			shared := newSharedStore()
			here, _ := process(t, shared, latchkey.LeaseOptions{Length: length})
			defer here.Close(t.Context())
			there, l := process(t, shared, latchkey.LeaseOptions{Length: length}, func(l *link) {
				l.noPush.Store(trial%2 == 0)
				l.delay = time.Duration(1+rng.IntN(200)) * time.Millisecond
			})
			defer there.Close(t.Context())
			k, token := create(t, here)
			_, good := create(t, here)
			want(t, "before", verify(t, there, token), nil)
			want(t, "before", verify(t, there, good), nil)
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
			l.cut.Store(store)
			l.deaf.Store(push)
			time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)

			began := time.Now()
			returned := make(chan time.Time, 1)
			go func() {
				if _, err := here.Revoke(context.Background(), ops, k.ID, ""); err != nil {
					t.Errorf("Revoke: %v", err)
				}
				returned <- time.Now()
			}()
			last, refused := time.Time{}, false
			for at := time.Now(); at.Sub(began) < 2*length; at = time.Now() {
				switch err := verify(t, there, token); {
				case err == nil:
					last = at
				case store && errors.Is(err, apikey.Unavailable):
					refused = true
				case !store && errors.Is(err, apikey.RevokedKey):
				default:
					t.Fatalf("a process that was cut off answered %v", err)
				}
				if refused {
					want(t, "any other key at that time", verify(t, there, good), apikey.Unavailable)
				}
				time.Sleep(5 * time.Millisecond)
			}
			end := <-returned
			if last.After(began.Add(length + 10*time.Millisecond)) {
				t.Errorf("the key was accepted %v after its revocation was committed, the lease is %v", last.Sub(began), length)
			}
			if !last.Before(end) {
				t.Errorf("the key was accepted %v after Revoke returned", last.Sub(end))
			}
			if took := end.Sub(began); took > length+50*time.Millisecond {
				t.Errorf("Revoke waited %v for a process that was cut off, the lease is %v", took, length)
			}
			l.cut.Store(false)
			l.deaf.Store(false)
			time.Sleep(time.Second)
			want(t, "after the partition", verify(t, there, token), apikey.RevokedKey)
			want(t, "another key after the partition", verify(t, there, good), nil)
		})
	}
}

// A change is applied before the lease is extended for it: a process whose way
// to the store is slow is never ahead of what it knows.
func TestASlowLinkIsNeverAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true})
		defer here.Close(t.Context())
		there, _ := process(t, store, latchkey.LeaseOptions{}, withoutPush, func(l *link) { l.delay = 200 * time.Millisecond })
		defer there.Close(t.Context())
		for range 10 {
			k, token := create(t, here)
			want(t, "before", verify(t, there, token), nil)
			if _, err := here.Revoke(t.Context(), ops, k.ID, ""); err != nil {
				t.Fatal(err)
			}
			committed := time.Now()
			for verify(t, there, token) == nil {
				time.Sleep(time.Millisecond)
			}
			if took := time.Since(committed); took > 3*time.Second {
				t.Errorf("an asynchronous revocation took %v, the lease is 3s", took)
			}
		}
	})
}

// A store outage: cached keys are served to the end of the lease, then only
// 503, never 401; and afterwards one read for each key that is asked for.
func TestAnOutageOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		s, l := process(t, store, latchkey.LeaseOptions{})
		defer s.Close(t.Context())
		var tokens []string
		for range 50 {
			_, token := create(t, s)
			tokens = append(tokens, token)
			want(t, "before", verify(t, s, token), nil)
		}
		l.cut.Store(true)
		began := time.Now()
		for time.Since(began) < time.Minute {
			for _, token := range tokens[:5] {
				asked := time.Now()
				err := verify(t, s, token)
				if took := time.Since(asked); time.Since(began) > 6*time.Second && took > 0 {
					t.Fatalf("a request waited %v in an outage that was known", took)
				}
				switch {
				case err == nil && time.Since(began) > 3*time.Second:
					t.Fatalf("a key was accepted %v into the outage", time.Since(began))
				case err != nil && !errors.Is(err, apikey.Unavailable):
					t.Fatalf("answered %v", err)
				case err != nil && time.Since(began) < 1800*time.Millisecond:
					t.Fatalf("refused %v into the outage: %v", time.Since(began), err)
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		if h := s.Health(); h.Ready || h.Error == "" {
			t.Errorf("health in an outage: %+v", h)
		}
		polls := l.polls.Load()
		if polls > 300 {
			t.Errorf("%d polls in an outage of a minute", polls)
		}
		l.cut.Store(false)
		time.Sleep(500 * time.Millisecond)
		reads := l.reads.Load()
		for _, token := range tokens {
			want(t, "after the outage", verify(t, s, token), nil)
		}
		if n := l.reads.Load() - reads; n > 0 {
			t.Errorf("%d reads after the outage: nothing has changed", n)
		}
		if h := s.Health(); !h.Ready || h.Error != "" || h.Instances != 1 {
			t.Errorf("health after the outage: %+v", h)
		}
	})
}

// Requests in flight are cut on every process, and on one that is cut off when
// nobody knows any more what became of their keys.
func TestRequestsInFlightElsewhereAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{})
		defer here.Close(t.Context())
		there, l := process(t, store, latchkey.LeaseOptions{InflightGrace: 5 * time.Second})
		defer there.Close(t.Context())
		k, token := create(t, here)
		f := takeOff(t, there, token)
		renamed := "renamed"
		if _, err := here.Update(t.Context(), ops, k.ID, latchkey.Update{Name: &renamed}); err != nil {
			t.Fatal(err)
		}
		want(t, "a change that forbids nothing", f.cause(), nil)
		if _, err := here.Disable(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		want(t, "a request in flight with a key that was disabled elsewhere", f.cause(), apikey.DisabledKey)
		if _, err := here.Enable(t.Context(), ops, k.ID); err != nil {
			t.Fatal(err)
		}
		f = takeOff(t, there, token)
		l.cut.Store(true)
		time.Sleep(7 * time.Second)
		want(t, "in flight on a process that is cut off, within the grace", f.cause(), nil)
		time.Sleep(4 * time.Second)
		want(t, "in flight on a process that is cut off, after the grace", f.cause(), apikey.Unavailable)
		l.cut.Store(false) // Close writes usage
	})
}

// Fresh and rotated secrets work at once on every process.
func TestSecretsOfElsewhereWorkAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true})
		defer here.Close(t.Context())
		there, l := process(t, store, latchkey.LeaseOptions{}, withoutPush)
		defer there.Close(t.Context())
		for range 200 {
			k, token := create(t, here)
			want(t, "a fresh key", verify(t, there, token), nil)
			_, newer, err := here.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want(t, "a secret that was rotated in elsewhere", verify(t, there, newer.Reveal()), nil)
			want(t, "the one before it", verify(t, there, token), nil)
		}
		// Wrong secrets do not make the store work more than four times a second.
		k, wrong := create(t, here)
		for range 2 {
			if _, _, err := here.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Immediately: true}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		reads := l.reads.Load()
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() { want(t, "a wrong secret", verify(t, there, wrong), apikey.InvalidKey) })
			time.Sleep(10 * time.Millisecond)
		}
		group.Wait()
		if n := l.reads.Load() - reads; n > 42 {
			t.Errorf("1,000 wrong secrets in 10 s made %d reads", n)
		}
	})
}

// A rotation whose caller gave up waiting for a process that is cut off is made,
// and its token is not lost.
func TestRotateTellsTheTokenAlsoToWhoGaveUpWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{})
		defer here.Close(t.Context())
		there, l := process(t, store, latchkey.LeaseOptions{}, withoutPush)
		defer there.Close(t.Context())
		k, old := create(t, here)
		want(t, "before", verify(t, there, old), nil)
		l.cut.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		rotated, token, err := here.Rotate(ctx, ops, k.ID, latchkey.RotateOptions{Immediately: true, Reason: "leaked"})
		want(t, "a rotation whose wait was cut short", err, context.DeadlineExceeded)
		if rotated.Secrets[0].Number != 2 {
			t.Errorf("the key is told as it is now: %+v", rotated.Secrets)
		}
		want(t, "the new secret", verify(t, here, token.Reveal()), nil)
		want(t, "the old secret", verify(t, here, old), apikey.ExpiredKey)
		l.cut.Store(false)
		time.Sleep(time.Second)
		want(t, "the new secret elsewhere", verify(t, there, token.Reveal()), nil)
		trail, err := here.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID, Limit: 1})
		if err != nil || trail[0].Reason != "leaked" {
			t.Errorf("the trail says %+v, error %v", trail, err)
		}
	})
}

// StaleIfError adds to the lease, and to the bound.
func TestStaleIfError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		s, l := process(t, store, latchkey.LeaseOptions{StaleIfError: 20 * time.Second})
		defer s.Close(t.Context())
		_, token := create(t, s)
		want(t, "before", verify(t, s, token), nil)
		l.cut.Store(true)
		time.Sleep(20 * time.Second)
		want(t, "within StaleIfError", verify(t, s, token), nil)
		time.Sleep(4 * time.Second)
		want(t, "after it", verify(t, s, token), apikey.Unavailable)
		l.cut.Store(false)
	})
}

// A process that is closed, or dead, is not waited for longer than it can trust
// its cache.
func TestNobodyWaitsForTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{})
		defer here.Close(t.Context())
		there, _ := process(t, store, latchkey.LeaseOptions{})
		k, token := create(t, here)
		want(t, "before", verify(t, there, token), nil)
		if err := there.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := here.Revoke(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("Revoke waited %v for a process that was closed", took)
		}
	})
}

// The verdicts of several processes are linearizable with the life of a key:
// what is asked after a change returned is answered by it or a later one.
func TestVerdictsOfManyProcessesFollowChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		rng := rand.New(rand.NewPCG(3, 4))
		var services []*latchkey.Service
		for i := range 4 {
			s, _ := process(t, store, latchkey.LeaseOptions{}, func(l *link) {
				l.delay = time.Duration(i+1) * 3 * time.Millisecond
				l.noPush.Store(i == 3)
			})
			defer s.Close(t.Context())
			services = append(services, s)
		}
		k, token := create(t, services[0])
		for step := range 150 {
			by := services[rng.IntN(len(services))]
			var err error
			disabled := step%2 == 0
			if disabled {
				_, err = by.Disable(t.Context(), ops, k.ID, fmt.Sprint(step))
			} else {
				_, err = by.Enable(t.Context(), ops, k.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range services {
				err := verify(t, s, token)
				if disabled != errors.Is(err, apikey.DisabledKey) || !disabled && err != nil {
					t.Fatalf("step %d: process %d answers %v after a change to disabled=%v returned", step, i, err, disabled)
				}
			}
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		}
	})
}
