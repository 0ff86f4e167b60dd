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
	"github.com/wontopos/latchkey/storage"
)

// No more than 4,096 requests wait for ids that were never seen; when there are
// more, those that were asked for the longest ago are refused, and what is asked
// for again stays.
func TestMoreUnknownKeysThanMayWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{})
		defer here.Close(t.Context())
		_, token := create(t, here)
		s, g := gated(t, store, false, latchkey.LeaseOptions{})
		want(t, "an unknown key", verify(t, s, mustToken(t)), apikey.InvalidKey)
		g.hold = func(string) bool { return true }
		var waiting atomic.Int64
		var group sync.WaitGroup
		ask := func(token string, kinds ...error) {
			waiting.Add(1)
			group.Go(func() {
				defer waiting.Add(-1)
				err := verify(t, s, token)
				for _, kind := range kinds {
					if errors.Is(err, kind) {
						return
					}
				}
				t.Errorf("got %v, want one of %v", err, kinds)
			})
		}
		for range 16 { // as many as are read at a time
			ask(mustToken(t), apikey.InvalidKey)
		}
		synctest.Wait()
		ask(token, nil) // a good key waits behind them
		for i := range 6000 {
			if i%2500 == 0 {
				ask(token, nil) // it is asked for again
			}
			ask(mustToken(t), apikey.InvalidKey, apikey.Unavailable)
			if i%500 != 0 {
				continue
			}
			synctest.Wait()
			if n := waiting.Load(); n > 4096 {
				t.Fatalf("%d requests wait, want at most 4,096", n)
			}
		}
		synctest.Wait()
		if n := waiting.Load(); n != 4096 {
			t.Errorf("%d requests wait, want 4,096", n)
		}
		close(g.release)
		group.Wait()
		_ = s.Close(t.Context())
	})
}

// Requests that wait for a poll to renew the lease are bounded, too, and end when
// it fails.
func TestRequestsThatWaitForTheLeaseAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &link{store: newSharedStore()}
		s := serviceOn(t, l, latchkey.Options{StoreTimeout: 10 * time.Second})
		l.cut.Store(true)
		time.Sleep(3*time.Second + 100*time.Millisecond) // a poll is under way that fails a lease after it began
		var waiting atomic.Int64
		var group sync.WaitGroup
		for range 5000 {
			token := mustToken(t)
			waiting.Add(1)
			group.Go(func() {
				defer waiting.Add(-1)
				want(t, "an unknown key", verify(t, s, token), apikey.Unavailable)
			})
		}
		synctest.Wait()
		if n := waiting.Load(); n > 4096 {
			t.Errorf("%d requests wait for a poll, want at most 4,096", n)
		}
		group.Wait()
		l.cut.Store(false)
		_ = s.Close(t.Context())
	})
}

// A wrong secret makes a known key be read again, once a second. When that read
// fails nothing is known of the secret: neither then nor at the next request is it
// called wrong.
func TestAWrongSecretIsNotCalledWrongUnread(t *testing.T) {
	both(t, func(t *testing.T, store *sharedStore, s *latchkey.Service, l *link) {
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true}, withoutPush)
		defer here.Close(t.Context())
		k, token := create(t, here)
		want(t, "before", verify(t, s, token), nil)
		time.Sleep(time.Second)
		_, newer, err := here.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		l.cut.Store(true)
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := s.Verify(ctx, newer.Reveal())
			if errors.Is(err, apikey.InvalidKey) {
				t.Errorf("a secret that could not be looked up: %v", err)
			}
			cancel()
		}
		l.cut.Store(false)
		want(t, "afterwards", verify(t, s, newer.Reveal()), nil)
	})
}

// oddBatches answers otherwise than it should.
type oddBatches struct {
	*link
	answer func(ids []string, records []storage.Record, errs []error) ([]storage.Record, []error)
}

func (o oddBatches) GetBatch(ctx context.Context, ids []string) ([]storage.Record, []error) {
	records, errs := (&batchLink{link: o.link}).GetBatch(ctx, ids)
	return o.answer(ids, records, errs)
}

// What a store answers to many is believed as little as what it answers to one: a
// record that is another key's, or none at all, is no verdict.
func TestOddAnswersOfAStoreAreNoVerdict(t *testing.T) {
	for name, answer := range map[string]func(ids []string, records []storage.Record, errs []error) ([]storage.Record, []error){
		"too few": func(_ []string, records []storage.Record, errs []error) ([]storage.Record, []error) {
			return records[:0], errs[:0]
		},
		"another key's": func(_ []string, records []storage.Record, errs []error) ([]storage.Record, []error) {
			records[0].Key.ID = "0123456789abcdef"
			return records, errs
		},
		"an error": func(_ []string, records []storage.Record, errs []error) ([]storage.Record, []error) {
			errs[0] = errors.New("damaged")
			return records, errs
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := newSharedStore()
			here, _ := process(t, store, latchkey.LeaseOptions{})
			defer here.Close(t.Context())
			_, token := create(t, here)
			s := serviceOn(t, oddBatches{&link{store: store}, answer}, latchkey.Options{})
			want(t, name, verify(t, s, token), apikey.Unavailable)
			_ = s.Close(t.Context())
		})
	}
}

// One record of a batch that cannot be read is an error for its key alone, and a
// plan that takes long to look up keeps no other key of the batch.
func TestKeysOfABatchAreReadEachForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{})
		defer here.Close(t.Context())
		var tokens []string
		bad := map[string]bool{}
		for i := range 40 {
			k, token := create(t, here)
			tokens = append(tokens, token)
			bad[k.ID] = i%4 == 0
		}
		s := serviceOn(t, oddBatches{&link{store: store, delay: time.Millisecond}, func(ids []string, records []storage.Record, errs []error) ([]storage.Record, []error) {
			for i, id := range ids {
				if bad[id] {
					errs[i] = errors.New("damaged")
				}
			}
			return records, errs
		}}, latchkey.Options{})
		var group sync.WaitGroup
		for i, token := range tokens {
			group.Go(func() {
				kind := error(nil)
				if i%4 == 0 {
					kind = apikey.Unavailable
				}
				want(t, "a key of many that are asked for at once", verify(t, s, token), kind)
			})
		}
		group.Wait()
		_ = s.Close(t.Context())
	})
}

// A client that goes on with an old secret does not make a new one wrong: the
// request with the new one waits until the key may be read again.
func TestAnOldClientDoesNotMakeANewSecretWrong(t *testing.T) {
	both(t, func(t *testing.T, store *sharedStore, s *latchkey.Service, l *link) {
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true}, withoutPush)
		defer here.Close(t.Context())
		k, old := create(t, here)
		rotate := func() string {
			_, token, err := here.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Immediately: true})
			if err != nil {
				t.Fatal(err)
			}
			return token.Reveal()
		}
		rotate()
		rotate()
		time.Sleep(5 * time.Second)
		l.slower.Store(int64(49 * time.Millisecond))
		for range 20 {
			time.Sleep(2 * time.Second)
			want(t, "the old client", verify(t, s, old), apikey.InvalidKey) // now the key is cached
			time.Sleep(300 * time.Millisecond)
			early := make(chan error, 1)
			go func() { early <- verify(t, s, old) }()
			time.Sleep(60 * time.Millisecond) // the key has been read, and is on its way back
			newest := rotate()
			began := time.Now()
			want(t, "the new secret beside the old one", verify(t, s, newest), nil)
			if took := time.Since(began); took > 400*time.Millisecond {
				t.Errorf("it was served after %v", took)
			}
			want(t, "the old client", <-early, apikey.InvalidKey)
		}
	})
}

// A service that starts on a slow store is ready when New returns: a flood of keys
// that nobody has does not keep out the good keys of its first requests.
func TestAStartUnderAFloodServesGoodKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{})
		defer here.Close(t.Context())
		var good []string
		for range 100 {
			_, token := create(t, here)
			good = append(good, token)
		}
		l := &batchLink{link: &link{store: store, delay: time.Millisecond}}
		l.slower.Store(int64(150 * time.Millisecond))
		time.AfterFunc(200*time.Millisecond, func() { l.slower.Store(0) })
		s := serviceOn(t, l, latchkey.Options{})
		var group sync.WaitGroup
		for range 5000 {
			token := mustToken(t)
			group.Go(func() { _ = verify(t, s, token) })
		}
		synctest.Wait()
		for _, token := range good {
			group.Go(func() { want(t, "a good key", verify(t, s, token), nil) })
		}
		group.Wait()
		_ = s.Close(t.Context())
	})
}

// Without an answer of the store a service starts nevertheless, after
// StoreTimeout, and is ready when there is one.
func TestAStartWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s, l := process(t, newSharedStore(), latchkey.LeaseOptions{}, func(l *link) { l.cut.Store(true) })
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("New took %v, StoreTimeout is 2s", took)
		}
		want(t, "a request", verify(t, s, mustToken(t)), apikey.Unavailable)
		l.cut.Store(false)
		time.Sleep(5 * time.Second)
		want(t, "a request when the store is back", verify(t, s, mustToken(t)), apikey.InvalidKey)
		_ = s.Close(t.Context())
	})
}

// Ids are public: a flood of wrong secrets for one key keeps the keys that are
// not in the cache from nothing.
func TestAFloodOfWrongSecretsTakesNoPlaceFromOthers(t *testing.T) {
	both(t, func(t *testing.T, store *sharedStore, s *latchkey.Service, l *link) {
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true}, withoutPush)
		defer here.Close(t.Context())
		k, old := create(t, here)
		for range 2 {
			if _, _, err := here.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Immediately: true}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		want(t, "the old secret", verify(t, s, old), apikey.InvalidKey)
		_, cold := create(t, here)
		time.Sleep(10 * time.Millisecond)
		var flood sync.WaitGroup
		var refused atomic.Int32
		for range 5_000 {
			flood.Go(func() {
				if errors.Is(verify(t, s, old), apikey.Unavailable) {
					refused.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := 5_000 - refused.Load(); n > 256 {
			t.Errorf("%d of 5,000 requests wait", n)
		}
		want(t, "a cold key beside them", verify(t, s, cold), nil)
		flood.Wait()
	})
}
