package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// refusing is a store that takes no usage of some keys, and takes its time to change a key.
type refusing struct {
	storage.Store
	bad    map[string]bool
	takes  time.Duration // a change
	writes time.Duration // of usage
}

func (r *refusing) Unwrap() storage.Store { return r.Store }

func (r *refusing) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	time.Sleep(r.writes)
	for _, d := range batch {
		if r.bad[d.KeyID] {
			return errors.New("this row cannot be written")
		}
	}
	return r.Store.AddUsage(ctx, batch)
}

func (r *refusing) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	time.Sleep(r.takes)
	return r.Store.Apply(ctx, c)
}

// TestKeysThatAreRefusedKeepNoOthersWaiting: keys whose usage cannot be written,
// more of them than are written at a time, cost the others nothing.
func TestKeysThatAreRefusedKeepNoOthersWaiting(t *testing.T) {
	for bad := range 4 {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memstore.New()
				store := &refusing{Store: mem, bad: map[string]bool{}}
				s := serviceOn(t, store, latchkey.Options{})
				var tokens, ids []string
				for i := range 400 {
					k, token := create(t, s)
					if i < bad {
						store.bad[k.ID] = true
					} else {
						ids = append(ids, k.ID)
					}
					tokens = append(tokens, token)
				}
				for i, token := range tokens { // two that are refused come at different times, one or three together with others
					countOne(t, s, token)
					if i < bad && bad == 2 {
						time.Sleep(6 * time.Second)
					}
				}
				time.Sleep(5 * time.Minute)
				if n := stored(t, mem, ids...); n != uint64(len(ids)) {
					t.Errorf("%d of %d counts of the other keys are stored", n, len(ids))
				}
				if err := s.Close(t.Context()); (err != nil) != (bad > 0) {
					t.Errorf("Close with %d keys that are refused: %v", bad, err)
				}
			})
		})
	}
}

// TestUsageThatIsNotWrittenIsLogged: also where all else is written.
func TestUsageThatIsNotWrittenIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := &refusing{Store: memstore.New(), bad: map[string]bool{}}
		s := serviceOn(t, store, latchkey.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		k, token := create(t, s)
		store.bad[k.ID] = true
		countOne(t, s, token)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if !strings.Contains(log.String(), "usage was not written and will be tried again") || !strings.Contains(log.String(), "this row cannot be written") {
			t.Errorf("the log has %q", &log)
		}
	})
}

// TestCloseWritesWhatRefusedKeysKeep: neither many keys that are refused nor one that was counted again while it was
// refused makes Close leave out others, or say that all is written.
func TestCloseWritesWhatRefusedKeysKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		store := &refusing{Store: mem, bad: map[string]bool{}}
		s := serviceOn(t, store, latchkey.Options{})
		var tokens, good []string
		for i := range 400 {
			k, token := create(t, s)
			if i%8 == 0 { // in each write
				store.bad[k.ID] = true
			} else {
				good = append(good, k.ID)
			}
			tokens = append(tokens, token)
		}
		countOne(t, s, tokens...)
		if err := s.Close(t.Context()); !errors.Is(err, apikey.Unavailable) {
			t.Errorf("Close with 50 keys that are refused: %v", err)
		}
		if n := stored(t, mem, good...); n != uint64(len(good)) {
			t.Errorf("%d of %d counts of the other keys are stored", n, len(good))
		}
		clear(store.bad)
		want(t, "Close when nothing is refused", s.Close(t.Context()), nil)
	})
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		store := &refusing{Store: mem, bad: map[string]bool{}, writes: 100 * time.Millisecond}
		s := serviceOn(t, store, latchkey.Options{})
		k, token := create(t, s)
		store.bad[k.ID] = true
		countOne(t, s, token)
		time.Sleep(5050 * time.Millisecond) // it is being written
		countOne(t, s, token)
		if _, err := s.Usage(t.Context(), other(t, s), time.Time{}); err != nil { // which collects
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if err := s.Close(t.Context()); err == nil {
			t.Error("Close says that all is written while the store refuses it")
		}
		clear(store.bad)
		want(t, "Close when nothing is refused", s.Close(t.Context()), nil)
		if n := stored(t, mem, k.ID); n != 2 {
			t.Errorf("%d requests are stored, 2 were counted", n)
		}
	})
}

// TestCloseOnAStoreThatTakesNothing: it gives up by itself, also where ctx never ends, and loses nothing.
func TestCloseOnAStoreThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		store := &refusing{Store: mem, bad: map[string]bool{}, writes: 100 * time.Millisecond}
		s := serviceOn(t, store, latchkey.Options{})
		var tokens, ids []string
		for range 2000 {
			k, token := create(t, s)
			store.bad[k.ID], ids, tokens = true, append(ids, k.ID), append(tokens, token)
		}
		countOne(t, s, tokens...)
		begun := time.Now()
		if err := s.Close(context.Background()); err == nil || time.Since(begun) > 5*time.Second {
			t.Errorf("Close took %v: %v", time.Since(begun), err)
		}
		clear(store.bad)
		want(t, "Close when the store takes usage again", s.Close(context.Background()), nil)
		if n := stored(t, mem, ids...); n != 2000 {
			t.Errorf("%d requests are stored, 2,000 were counted", n)
		}
	})
}

// other returns the ID of a new key.
func other(t *testing.T, s *latchkey.Service) string {
	t.Helper()
	k, _ := create(t, s)
	return k.ID
}

// TestCloseWritesUsageBesideAnOperation: one that takes longer than Close has time
// keeps nothing from being written.
func TestCloseWritesUsageBesideAnOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		store := &refusing{Store: mem}
		s := serviceOn(t, store, latchkey.Options{})
		k, token := create(t, s)
		v, err := engine.Of(s).Verify(t.Context(), token)
		want(t, "verify", err, nil)
		other := other(t, s)
		store.takes = 9 * time.Second
		done := make(chan error, 1)
		go func() {
			_, err := s.Revoke(context.Background(), ops, other, "")
			done <- err
		}()
		synctest.Wait()
		countOne(t, s, token)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		want(t, "Close while a change takes longer", s.Close(ctx), context.DeadlineExceeded)
		if n := stored(t, mem, k.ID); n != 1 {
			t.Errorf("%d requests are stored, 1 was counted", n)
		}
		time.AfterFunc(time.Second, func() { v.Count(apikey.OK, 0, nil) })
		want(t, "Close again", s.Close(t.Context()), nil)
		if n := stored(t, mem, k.ID); n != 2 {
			t.Errorf("%d requests are stored, one was counted while Close waited", n)
		}
		want(t, "the change", <-done, nil)
	})
}
