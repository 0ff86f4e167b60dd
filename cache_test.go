package latchkey_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// slowReads lets a test hold a Get between its read and its return.
type slowReads struct {
	storage.Store
	read    chan struct{} // a Get has read
	release chan struct{} // and may return
	held    atomic.Bool
}

func (s *slowReads) Unwrap() storage.Store { return s.Store }

func (s *slowReads) Get(ctx context.Context, id string) (storage.Record, error) {
	r, err := s.Store.Get(ctx, id)
	if s.held.CompareAndSwap(false, true) { // the first one only
		close(s.read)
		<-s.release
		if ctx.Err() != nil {
			return storage.Record{}, ctx.Err()
		}
	}
	return r, err
}

// The race that a cache in front of a revocable key must win: a fill reads the
// key, the key is revoked and the cache told, and only then the fill arrives.
func TestAFillThatARevocationOvertookIsNotPutIn(t *testing.T) {
	mem := memstore.New()
	writer := serviceOn(t, mem, latchkey.Options{})
	k, token := create(t, writer)
	slow := &slowReads{Store: mem, read: make(chan struct{}), release: make(chan struct{})}
	s := serviceOn(t, slow, latchkey.Options{})

	early := make(chan error)
	go func() { _, err := s.Verify(context.Background(), token); early <- err }()
	<-slow.read // the fill holds the unrevoked record
	if _, err := writer.Revoke(t.Context(), ops, k.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	// One that starts now must not join the fill that began before.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := s.Verify(ctx, token)
	want(t, "a request that started after Revoke returned", err, apikey.RevokedKey)
	close(slow.release)
	if err := <-early; err != nil && !errors.Is(err, apikey.RevokedKey) {
		t.Errorf("the request that was overtaken: %v", err)
	}
	want(t, "a request after the overtaken fill returned", verify(t, s, token), apikey.RevokedKey)
}

func TestManyFirstUsesOfOneKeyAreOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		writer := serviceOn(t, mem, latchkey.Options{})
		defer writer.Close(t.Context())
		_, token := create(t, writer)
		slow := &slowReads{Store: mem, read: make(chan struct{}), release: make(chan struct{})}
		count := &counting{Store: slow}
		s := serviceOn(t, count, latchkey.Options{})
		defer s.Close(t.Context())
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { want(t, "one of many first uses", verify(t, s, token), nil) })
		}
		synctest.Wait() // all of them wait for the one read
		close(slow.release)
		wg.Wait()
		for range 100 {
			want(t, "cached", verify(t, s, token), nil)
		}
		if n := count.gets.Load(); n != 1 {
			t.Errorf("1,000 concurrent first uses made %d reads, want 1", n)
		}
	})
}

func TestALeaderThatGivesUpFailsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		writer := serviceOn(t, mem, latchkey.Options{})
		defer writer.Close(t.Context())
		_, token := create(t, writer)
		slow := &slowReads{Store: silent{mem}, read: make(chan struct{}), release: make(chan struct{})}
		s := serviceOn(t, slow, latchkey.Options{MaxStale: time.Hour})
		defer s.Close(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		leader, follower := make(chan error), make(chan error)
		go func() { _, err := s.Verify(ctx, token); leader <- err }()
		synctest.Wait()
		go func() { _, err := s.Verify(context.Background(), token); follower <- err }()
		synctest.Wait() // both wait for the leader's read
		cancel()
		want(t, "the leader", <-leader, context.Canceled)
		close(slow.release)
		want(t, "who waited with it", <-follower, nil)
	})
}

// On a store in this process the leader reads itself, and its giving up does
// not end the read of the others.
func TestALeaderThatGivesUpReadsToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		writer := serviceOn(t, mem, latchkey.Options{})
		defer writer.Close(t.Context())
		_, token := create(t, writer)
		slow := &slowReads{Store: mem, read: make(chan struct{}), release: make(chan struct{})}
		s := serviceOn(t, slow, latchkey.Options{})
		defer s.Close(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		leader, follower := make(chan error, 1), make(chan error)
		go func() { _, err := s.Verify(ctx, token); leader <- err }()
		synctest.Wait()
		go func() { _, err := s.Verify(context.Background(), token); follower <- err }()
		synctest.Wait()
		cancel()
		close(slow.release)
		want(t, "who waited with it", <-follower, nil)
		<-leader
	})
}

// uncertain writes, and then fails: a disk that does not sync, a connection that
// breaks while the commit is on its way back.
type uncertain struct {
	*memstore.Store
	fail atomic.Bool
}

func (u *uncertain) Subscribe(func(storage.Notice)) func() { return func() {} }

func (u *uncertain) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	revision, err := u.Store.Apply(ctx, c)
	if err == nil && u.fail.Load() {
		return 0, errors.New("input/output error")
	}
	return revision, err
}

func TestAChangeOfUnknownOutcomeIsReadAgain(t *testing.T) {
	store := &uncertain{Store: memstore.New()}
	s := serviceOn(t, store, latchkey.Options{})
	k, token := create(t, s)
	f := takeOff(t, s, token)
	store.fail.Store(true)
	_, err := s.Revoke(t.Context(), ops, k.ID, "leaked")
	want(t, "Revoke", err, apikey.Unavailable)
	want(t, "the next request", verify(t, s, token), apikey.RevokedKey)
	deadline := time.Now().Add(10 * time.Second)
	for f.cause() == nil && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // the reader judges after it has answered
	}
	want(t, "what is in flight", f.cause(), apikey.RevokedKey)
}

func TestMalformedTokensCostNoRead(t *testing.T) {
	count := &counting{Store: memstore.New()}
	s := serviceOn(t, count, latchkey.Options{})
	token := mustToken(t)
	for _, bad := range []string{"", "x", token[:68], token + "x", token[:68] + "!", "sk_prod_" + token[8:]} {
		want(t, bad, verify(t, s, bad), apikey.InvalidKey)
	}
	if n := count.gets.Load(); n != 0 {
		t.Errorf("malformed tokens made %d reads", n)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	s := newService(t, latchkey.Options{CacheSize: 64})
	var tokens []string
	for range 1000 {
		_, token := create(t, s)
		tokens = append(tokens, token)
	}
	for range 2 {
		for _, token := range tokens {
			want(t, "verify beyond the cache", verify(t, s, token), nil)
		}
	}
	if n := engine.Of(s).Cached(); n > 64 {
		t.Errorf("%d keys are cached, at most 64 are allowed", n)
	}
}

// The guarantee under load, with a cache so small that entries come and go: a
// Verify that starts after Revoke (or Disable) returned never admits, one that
// starts after Enable returned always does.
func TestVerdictsAreLinearizableWithEvictions(t *testing.T) {
	for _, size := range []int{1, 128, 100_000} {
		mem := memstore.New()
		s := serviceOn(t, mem, latchkey.Options{CacheSize: size})
		const keys = 192
		changes := longer(150, 400)
		type subject struct {
			id, token string
			mu        sync.Mutex   // one writer at a time
			changing  atomic.Int64 // odd while a change is being made
			works     atomic.Bool  // the state after the last change
		}
		subjects := make([]*subject, keys)
		for i := range subjects {
			k, token := create(t, s)
			subjects[i] = &subject{id: k.ID, token: token}
			subjects[i].works.Store(true)
		}
		var writers, readers sync.WaitGroup
		stop := make(chan struct{})
		var checked atomic.Int64
		for range 3 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					x := subjects[rand.IntN(keys)]
					before, works := x.changing.Load(), x.works.Load()
					_, err := s.Verify(context.Background(), x.token)
					if before%2 == 1 || x.changing.Load() != before {
						continue // a change was under way: both answers are right
					}
					checked.Add(1)
					if works != (err == nil) {
						t.Errorf("cache of %d: key works: %v, Verify: %v", size, works, err)
						return
					}
				}
			})
		}
		for range 2 {
			writers.Go(func() {
				for i := 0; i < changes || checked.Load() < 100 && !t.Failed(); i++ {
					x := subjects[rand.IntN(keys)]
					x.mu.Lock()
					x.changing.Add(1)
					var err error
					if x.works.Load() {
						_, err = s.Disable(context.Background(), ops, x.id, "")
					} else {
						_, err = s.Enable(context.Background(), ops, x.id)
					}
					if err != nil {
						t.Error(err)
					}
					x.works.Store(!x.works.Load())
					x.changing.Add(1)
					x.mu.Unlock()
				}
			})
		}
		writers.Wait()
		close(stop)
		readers.Wait()
	}
}

func TestAStoreWithoutNoticesIsTrustedForMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		elsewhere := serviceOn(t, mem, latchkey.Options{})
		defer elsewhere.Close(t.Context())
		s := serviceOn(t, silent{mem}, latchkey.Options{MaxStale: 3 * time.Second})
		defer s.Close(t.Context())
		k, token := create(t, elsewhere)
		own, ownToken := create(t, s)
		want(t, "first", verify(t, s, token), nil)
		f := takeOff(t, s, token)
		want(t, "own key", verify(t, s, ownToken), nil)
		if _, err := elsewhere.Revoke(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Revoke(t.Context(), ops, own.ID, ""); err != nil {
			t.Fatal(err)
		}
		want(t, "a change of one's own is seen at once", verify(t, s, ownToken), apikey.RevokedKey)
		time.Sleep(3 * time.Second)
		want(t, "a change elsewhere is seen after MaxStale", verify(t, s, token), apikey.RevokedKey)
		synctest.Wait()
		want(t, "and cuts what is in flight", f.cause(), apikey.RevokedKey)
	})
}

func TestVerifyOfACachedKeyAllocatesNothing(t *testing.T) {
	if raceDetector {
		return
	}
	for name, o := range map[string]latchkey.Options{
		"sha-256": {},
		"hmac":    {Peppers: []latchkey.Pepper{{Number: 1, Key: make([]byte, 32)}}},
	} {
		s := newService(t, o)
		_, token := create(t, s)
		ctx := context.Background()
		run := func() {
			v, err := engine.Of(s).Verify(ctx, token)
			if err != nil {
				t.Fatal(err)
			}
			v.Count(apikey.OK, 0, fromHome)
		}
		run()
		if n := testing.AllocsPerRun(1000, run); n != 0 {
			t.Errorf("%s: Verify and Count allocate %v times", name, n)
		}
		bad := token[:20] + "x" + token[21:]
		if n := testing.AllocsPerRun(1000, func() { _, _ = s.Verify(ctx, bad) }); n != 0 {
			t.Errorf("%s: a refusal allocates %v times", name, n)
		}
	}
}
