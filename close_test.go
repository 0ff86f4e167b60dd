package latchkey_test

import (
	"context"
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

// TestCloseWhileAChangeWaitsForOthers: a change waits for a process that cannot be
// reached, and polls meanwhile; a poll brings news of a key in flight, which is
// read again. None of that may wait for the Close that waits for it.
func TestCloseWhileAChangeWaitsForOthers(t *testing.T) {
	for range 2 {
		store := newSharedStore()
		lease := latchkey.LeaseOptions{Length: 300 * time.Millisecond, Every: 50 * time.Millisecond}
		a, _ := process(t, store, lease)
		other, _ := process(t, store, latchkey.LeaseOptions{Length: lease.Length, Every: lease.Every, Async: true})
		deaf, toDeaf := process(t, store, lease)
		k, token := create(t, a)
		changed, _ := create(t, a)
		v, err := engine.Of(a).Verify(t.Context(), token)
		if err != nil || verify(t, deaf, token) != nil {
			t.Fatal(err)
		}
		var f engine.Flight
		if !v.Enter(&f, &flight{}) {
			t.Fatal("the key does not take a request")
		}
		toDeaf.cut.Store(true)
		waiting := make(chan error, 1)
		go func() {
			_, err := a.Disable(context.Background(), ops, changed.ID, "")
			waiting <- err
		}()
		done := make(chan struct{})
		var news sync.WaitGroup
		news.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if _, err := other.RecordFound(context.Background(), ops, k.ID, 1); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		for written := false; !written; { // the change has been made, and waits
			r, err := store.mem.Get(t.Context(), changed.ID)
			if err != nil {
				t.Fatal(err)
			}
			written = !r.Key.DisabledAt.IsZero()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		want(t, "Close waits for no longer than the change does", a.Close(ctx), nil)
		cancel()
		want(t, "the change that was waiting", <-waiting, nil)
		close(done)
		news.Wait()
		toDeaf.cut.Store(false)
		f.Leave()
	}
}

// stuckUsage does not answer AddUsage while it is stuck. It heeds ctx, or not.
type stuckUsage struct {
	storage.Store
	deaf  bool
	mu    sync.Mutex
	stuck chan struct{} // nil: it answers
	freed atomic.Int64  // writes that were stuck, and of which one a millisecond is answered later
	given atomic.Int64
}

func (s *stuckUsage) Unwrap() storage.Store { return s.Store }

func (s *stuckUsage) hang() (free func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = make(chan struct{})
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.stuck)
		s.stuck = nil
	})
}

func (s *stuckUsage) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	s.mu.Lock()
	stuck := s.stuck
	s.mu.Unlock()
	s.given.Add(1)
	if stuck != nil {
		if s.deaf {
			<-stuck
			time.Sleep(time.Duration(s.freed.Add(1)) * time.Millisecond)
		} else {
			select {
			case <-stuck:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return s.Store.AddUsage(ctx, batch)
}

// stored sums up what a store has of some keys.
func stored(t testing.TB, s storage.Store, ids ...string) (n uint64) {
	t.Helper()
	for _, id := range ids {
		u, err := s.Usage(t.Context(), id, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		n += u.Of(1).Counts.Total()
	}
	return n
}

// TestACloseThatFailedMayBeCalledAgain: it ends within its context, whatever the
// store does, and what was counted is written by the next one, once.
func TestACloseThatFailedMayBeCalledAgain(t *testing.T) {
	for name, deaf := range map[string]bool{"the store heeds its context": false, "the store does not": true} {
		for flushed, before := range map[string]time.Duration{"in Close": 0, "in a flush before it": 5*time.Second + 10*time.Millisecond} {
			t.Run(name+", stuck "+flushed, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					mem := memstore.New()
					store := &stuckUsage{Store: mem, deaf: deaf}
					s := serviceOn(t, store, latchkey.Options{})
					var ids []string
					for range 50 {
						k, token := create(t, s)
						ids = append(ids, k.ID)
						countOne(t, s, token, token)
					}
					free := store.hang()
					defer free()
					time.Sleep(before)
					closing := func(d time.Duration) error {
						t.Helper()
						ctx, cancel := context.WithTimeout(t.Context(), d)
						defer cancel()
						begun := time.Now()
						err := s.Close(ctx)
						if took := time.Since(begun); took > d {
							t.Errorf("Close took %v with a context of %v", took, d)
						}
						return err
					}
					want(t, "Close while the store is stuck", closing(time.Second), context.DeadlineExceeded)
					want(t, "use after a Close that failed", verify(t, s, "sk_live_x"), apikey.Closed)
					want(t, "Close with time for the store's deadline", closing(time.Minute), apikey.Unavailable)
					if n := stored(t, mem, ids...); n != 0 {
						t.Errorf("%d requests are stored by a store that is stuck", n)
					}
					free()
					var both sync.WaitGroup
					for range 2 {
						both.Go(func() { want(t, "two Closes at once, when the store answers", closing(time.Second), nil) })
					}
					both.Wait()
					if n := stored(t, mem, ids...); n != 100 {
						t.Errorf("%d requests are stored, 100 were counted", n)
					}
					given := store.given.Load()
					want(t, "Close after one that finished", closing(time.Second), nil)
					if n := store.given.Load(); n != given {
						t.Errorf("a Close that has nothing to do wrote %d times", n-given)
					}
				})
			})
		}
	}
}

// TestCloseWritesWhatOneBrokenConnectionKeeps: a write that fails keeps Close from
// no other.
func TestCloseWritesWhatOneBrokenConnectionKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		store := &stuckUsage{Store: mem}
		s := serviceOn(t, store, latchkey.Options{})
		var ids []string
		for range 200 {
			k, token := create(t, s)
			ids = append(ids, k.ID)
			countOne(t, s, token)
		}
		store.hang()
		time.AfterFunc(time.Millisecond, func() { // two writes have begun, and hang until their deadline
			store.mu.Lock()
			defer store.mu.Unlock()
			store.stuck = nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		want(t, "Close", s.Close(ctx), nil)
		if n := stored(t, mem, ids...); n != 200 {
			t.Errorf("%d requests are stored, 200 were counted", n)
		}
	})
}

// TestCloseWhileFlushing writes everything once, whenever Close comes.
func TestCloseWhileFlushing(t *testing.T) {
	for at := range 12 {
		synctest.Test(t, func(t *testing.T) {
			mem := memstore.New()
			store := &slowUsage{Store: mem, takes: 30 * time.Millisecond, doubtful: true}
			s := serviceOn(t, store, latchkey.Options{})
			var ids []string
			for range 100 {
				k, token := create(t, s)
				ids = append(ids, k.ID)
				countOne(t, s, token)
			}
			time.Sleep(5*time.Second + time.Duration(at)*20*time.Millisecond)
			want(t, "Close", s.Close(t.Context()), nil)
			if n := stored(t, mem, ids...); n != 100 {
				t.Errorf("%d requests are stored, 100 were counted", n)
			}
		})
	}
}

// TestReadersDoNotWaitForAStuckWrite: whoever wants to read what is being written
// waits by their context, and for a second and a half at most. Other keys do not
// wait at all, and when the store answers again, everything is there once.
func TestReadersDoNotWaitForAStuckWrite(t *testing.T) {
	for name, deaf := range map[string]bool{"the store heeds its context": false, "the store does not": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memstore.New()
				store := &stuckUsage{Store: mem, deaf: deaf}
				s := serviceOn(t, store, latchkey.Options{})
				k, token := create(t, s)
				other, _ := create(t, s)
				if _, _, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{}); err != nil {
					t.Fatal(err)
				}
				countOne(t, s, token)
				free := store.hang()
				defer free()
				time.Sleep(5*time.Second + time.Millisecond) // a flush has begun
				reads := map[string]func(context.Context) error{
					"usage": func(ctx context.Context) error { _, err := s.Usage(ctx, k.ID, time.Time{}); return err },
					"activity": func(ctx context.Context) error {
						_, err := s.Activity(ctx, []string{other.ID, k.ID}, time.Now())
						return err
					},
					"rotation": func(ctx context.Context) error { _, err := s.Rotation(ctx, k.ID); return err },
					"a list by use": func(ctx context.Context) error {
						_, err := s.List(ctx, latchkey.ListRequest{UnusedSince: time.Now()})
						return err
					},
					"the end of a rotation": func(ctx context.Context) error { _, err := s.FinishRotation(ctx, ops, k.ID, false); return err },
				}
				var all sync.WaitGroup
				for what, read := range reads {
					all.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
						defer cancel()
						begun := time.Now()
						want(t, what+", with a context that ends", read(ctx), context.DeadlineExceeded)
						if d := time.Since(begun); d > 100*time.Millisecond {
							t.Errorf("%s waited %v with a context of 100ms", what, d)
						}
						want(t, what+", with one that does not", read(t.Context()), apikey.Unavailable)
						if d := time.Since(begun); d > 1500*time.Millisecond {
							t.Errorf("%s waited %v", what, d)
						}
					})
				}
				begun := time.Now()
				_, err := s.Usage(t.Context(), other.ID, time.Time{})
				want(t, "usage of another key", err, nil)
				_, err = s.List(t.Context(), latchkey.ListRequest{})
				want(t, "a list", err, nil)
				if d := time.Since(begun); d > 0 {
					t.Errorf("what is not written waited %v", d)
				}
				all.Wait()
				free()
				time.Sleep(10 * time.Second) // another flush
				if u, err := s.Usage(t.Context(), k.ID, time.Time{}); err != nil || u.Of(1).Counts.Total() != 1 || stored(t, mem, k.ID) != 1 {
					t.Errorf("usage %+v, %v; %d requests are stored, 1 was counted", u, err, stored(t, mem, k.ID))
				}
			})
		})
	}
}

// TestCloseDoesNotWaitForACallThatHeedsNothing: it ends with its context, and the
// next one goes on.
func TestCloseDoesNotWaitForACallThatHeedsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &deafReads{Store: memstore.New(), free: make(chan struct{})}
		s := serviceOn(t, store, latchkey.Options{})
		k, _ := create(t, s)
		store.deaf.Store(true)
		go func() { _, _ = s.Get(t.Context(), k.ID) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		closed := make(chan error, 1)
		go func() { closed <- s.Close(ctx) }()
		select {
		case err := <-closed:
			want(t, "Close while a call hangs", err, context.DeadlineExceeded)
		case <-time.After(2 * time.Second):
			t.Error("Close waits for longer than its context lasts")
		}
		close(store.free)
		want(t, "Close when the call has returned", s.Close(t.Context()), nil)
	})
}

// deafReads hangs in Get, whatever its context says.
type deafReads struct {
	storage.Store
	deaf atomic.Bool
	free chan struct{}
}

func (s *deafReads) Unwrap() storage.Store { return s.Store }

func (s *deafReads) Get(ctx context.Context, id string) (storage.Record, error) {
	if s.deaf.Load() {
		<-s.free
	}
	return s.Store.Get(ctx, id)
}

// TestOnDueEnds: a hook that heeds its context keeps neither the next one nor Close
// waiting for ever.
func TestOnDueEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newService(t, latchkey.Options{MaxAge: time.Hour, DueAhead: time.Hour, OnDue: func(ctx context.Context, _ apikey.Key) {
			calls.Add(1)
			<-ctx.Done()
		}})
		create(t, s)
		create(t, s)
		time.Sleep(time.Hour + 2*time.Minute + time.Second)
		if n := calls.Load(); n != 2 {
			t.Errorf("OnDue was called %d times two minutes after two keys became due", n)
		}
		create(t, s)
		time.Sleep(time.Hour - 2*time.Minute) // the third call hangs
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		want(t, "Close while OnDue runs", s.Close(ctx), nil)
	})
}
