package latchkey_test

import (
	"context"
	"errors"
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

// flight is a request in progress that remembers how it was cut.
type flight struct {
	engine.Flight
	mu      sync.Mutex
	cuts    []error
	severed []int // how many cuts there had been
}

func (f *flight) Cut(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cuts = append(f.cuts, cause)
}

// Sever comes after Cut.
func (f *flight) Sever() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.severed = append(f.severed, len(f.cuts))
}

func (f *flight) cause() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.cuts...)
}

// takeOff verifies a token and registers a request with it.
func takeOff(t testing.TB, s *latchkey.Service, token string) *flight {
	t.Helper()
	for range 2 { // the first use of a secret changes its key, if it is written down just now
		v, err := engine.Of(s).Verify(context.Background(), token)
		if err != nil {
			t.Fatal(err)
		}
		f := new(flight)
		if v.Enter(&f.Flight, f) {
			return f
		}
	}
	t.Fatal("Enter refused a key that did not change")
	return nil
}

func TestWhatEndsAKeyCutsItsRequestsInFlight(t *testing.T) {
	ctx := context.Background()
	for rule, c := range map[string]struct {
		do   func(s *latchkey.Service, id string) error
		want error
	}{
		"revoke":  {func(s *latchkey.Service, id string) error { _, err := s.Revoke(ctx, ops, id, ""); return err }, apikey.RevokedKey},
		"disable": {func(s *latchkey.Service, id string) error { _, err := s.Disable(ctx, ops, id, ""); return err }, apikey.DisabledKey},
		"rotate immediately": {func(s *latchkey.Service, id string) error {
			_, _, err := s.Rotate(ctx, ops, id, latchkey.RotateOptions{Immediately: true})
			return err
		}, apikey.ExpiredKey},
		"rotate with a grace": {func(s *latchkey.Service, id string) error {
			_, _, err := s.Rotate(ctx, ops, id, latchkey.RotateOptions{})
			return err
		}, nil},
		"update": {func(s *latchkey.Service, id string) error {
			_, err := s.Update(ctx, ops, id, latchkey.Update{Name: new("renamed"), Scopes: &[]string{}})
			return err
		}, nil},
	} {
		s := newService(t, latchkey.Options{})
		k, token := create(t, s)
		_, otherToken := create(t, s)
		f, gone, other := takeOff(t, s, token), takeOff(t, s, token), takeOff(t, s, otherToken)
		gone.Leave()
		gone.Leave() // twice does nothing
		if err := c.do(s, k.ID); err != nil {
			t.Fatal(err)
		}
		want(t, rule+": in flight", f.cause(), c.want)
		want(t, rule+": over before", gone.cause(), nil)
		want(t, rule+": another key", other.cause(), nil)
		if n := engine.Of(s).InFlight(k.ID, 1); c.want != nil && n != 0 {
			t.Errorf("%s: %d requests are still registered", rule, n)
		}
		f.Leave()
		other.Leave()
		_, _ = s.Revoke(ctx, ops, k.ID, "")
		if len(f.cuts) > 1 || (c.want == nil && len(f.cuts) != 0) {
			t.Errorf("%s: cut again, after Leave: %v", rule, f.cuts)
		}
	}
}

func TestExpiryAndTheEndOfAGraceCutInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, latchkey.Options{})
		defer s.Close(t.Context())
		at := func(rule string, f *flight, kind error) {
			t.Helper()
			synctest.Wait()
			want(t, rule, f.cause(), kind)
		}
		_, token := create(t, s, func(n *latchkey.NewKey) { n.ExpiresAt = time.Now().Add(3 * time.Hour) })
		f := takeOff(t, s, token)
		time.Sleep(3*time.Hour - time.Millisecond)
		at("before the expiry", f, nil)
		time.Sleep(time.Millisecond)
		at("at the expiry", f, apikey.ExpiredKey)

		// The old secret's requests end with the grace, the new one's do not;
		// also those that were admitted before the rotation.
		k, token := create(t, s)
		old := takeOff(t, s, token)
		_, fresh, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Grace: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		newer := takeOff(t, s, fresh.Reveal())
		old2 := takeOff(t, s, token)
		time.Sleep(time.Hour - time.Millisecond)
		at("before the grace ends", old, nil)
		time.Sleep(time.Millisecond)
		at("at the end of the grace, admitted before the rotation", old, apikey.ExpiredKey)
		at("at the end of the grace, admitted after it", old2, apikey.ExpiredKey)
		at("the new secret", newer, nil)

		// An expiry that is set while a request is in flight holds for it.
		if _, err := s.Update(t.Context(), ops, k.ID, latchkey.Update{ExpiresAt: new(time.Now().Add(time.Minute + time.Second))}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		at("before the new expiry", newer, nil)
		time.Sleep(time.Second)
		at("at the new expiry", newer, apikey.ExpiredKey)
	})
}

func TestEnterRefusesAVerdictThatDoesNotHoldAnyMore(t *testing.T) {
	s := newService(t, latchkey.Options{CacheSize: 1})
	k, token := create(t, s)
	v, err := engine.Of(s).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Revoke(t.Context(), ops, k.ID, ""); err != nil {
		t.Fatal(err)
	}
	f := new(flight)
	if v.Enter(&f.Flight, f) {
		t.Error("a request that was verified before Revoke entered after it: nobody would cut it")
	}
	f.Leave() // does nothing
}

// A key that left the cache between Verify and Enter: whoever revokes it would
// not find the request.
func TestEnterRefusesAnEntryThatLeftTheCache(t *testing.T) {
	mem := memstore.New()
	s := serviceOn(t, mem, latchkey.Options{CacheSize: 1})
	_, token := create(t, s)
	v, err := engine.Of(s).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 { // others of the same shard drive it out
		_, other := create(t, s)
		want(t, "other", verify(t, s, other), nil)
	}
	f := new(flight)
	if v.Enter(&f.Flight, f) {
		t.Error("a request entered an entry that is not in the cache any more")
	}
}

func TestAKeyInFlightIsNeverEvicted(t *testing.T) {
	s := newService(t, latchkey.Options{CacheSize: 1})
	k, token := create(t, s)
	f := takeOff(t, s, token)
	for range 2000 {
		_, other := create(t, s)
		want(t, "other", verify(t, s, other), nil)
	}
	if _, err := s.Revoke(t.Context(), ops, k.ID, ""); err != nil {
		t.Fatal(err)
	}
	want(t, "in flight since before the cache was full", f.cause(), apikey.RevokedKey)
}

// However requests and revocations interleave: a request that is served after
// Revoke returned has been cut.
func TestNoRequestSlipsPastARevocation(t *testing.T) {
	for range 50 {
		s := newService(t, latchkey.Options{CacheSize: 64})
		k, token := create(t, s)
		var revoked atomic.Bool
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 200 {
					started := revoked.Load()
					v, err := engine.Of(s).Verify(context.Background(), token)
					if err != nil {
						continue
					}
					if started {
						t.Error("a Verify that started after Revoke returned admitted the key")
						return
					}
					f := new(flight)
					if !v.Enter(&f.Flight, f) {
						continue
					}
					if revoked.Load() && f.cause() == nil {
						t.Error("a request is in flight after Revoke returned, and was not cut")
						return
					}
					f.Leave()
				}
			})
		}
		if _, err := s.Revoke(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		revoked.Store(true)
		wg.Wait()
	}
}

// Leave waits for a cut that runs: after it, nothing touches the request's
// connection, which may serve the next one.
func TestLeaveWaitsForACutThatRuns(t *testing.T) {
	for _, method := range []string{"Cut", "Sever"} {
		s := newService(t, latchkey.Options{})
		k, token := create(t, s)
		v, err := engine.Of(s).Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		c := &slowCut{slow: method, running: make(chan struct{}), finish: make(chan struct{})}
		var f engine.Flight
		if !v.Enter(&f, c) {
			t.Fatal("Enter refused")
		}
		done := make(chan struct{})
		go func() { defer close(done); _, _ = s.Revoke(context.Background(), ops, k.ID, "") }()
		<-c.running
		left := make(chan struct{})
		go func() {
			if cause := f.Leave(); cause != apikey.RevokedKey {
				t.Errorf("Leave of a request that was cut reported %v", cause)
			}
			c.left.Store(true)
			close(left)
		}()
		select {
		case <-left:
			t.Errorf("Leave returned during %s", method)
		case <-time.After(20 * time.Millisecond):
		}
		close(c.finish)
		<-left
		<-done
		if c.late.Load() {
			t.Errorf("the request was touched after Leave")
		}
	}
}

// slowCut takes its time in one of its methods.
type slowCut struct {
	slow            string
	running, finish chan struct{}
	left, late      atomic.Bool
}

func (c *slowCut) Cut(error) { c.called("Cut") }
func (c *slowCut) Sever()    { c.called("Sever") }

func (c *slowCut) called(method string) {
	if c.left.Load() {
		c.late.Store(true)
	}
	if method == c.slow {
		close(c.running)
		<-c.finish
	}
}

// All requests of a key are told that it has ended before the first of them is
// severed from its connection, which takes longer.
func TestAllRequestsAreToldBeforeOneIsSevered(t *testing.T) {
	s := newService(t, latchkey.Options{})
	k, token := create(t, s)
	v, err := engine.Of(s).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var order orderOfCuts
	flights := make([]engine.Flight, 5)
	for i := range flights {
		if !v.Enter(&flights[i], &order) {
			t.Fatal("Enter refused")
		}
	}
	if _, err := s.Revoke(t.Context(), ops, k.ID, ""); err != nil {
		t.Fatal(err)
	}
	if got := string(order); got != "cccccsssss" {
		t.Errorf("cut and severed in the order %s", got)
	}
	for i := range flights {
		flights[i].Leave()
	}
}

type orderOfCuts []byte

func (o *orderOfCuts) Cut(error) { *o = append(*o, 'c') }
func (o *orderOfCuts) Sever()    { *o = append(*o, 's') }
