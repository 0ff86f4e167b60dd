package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// refusing is a store that takes no usage of some keys, and takes its time to change a key.
type refusing struct {
	apikey.Store
	bad   map[string]bool
	takes time.Duration
}

func (r *refusing) Unwrap() apikey.Store { return r.Store }

func (r *refusing) AddUsage(ctx context.Context, batch []apikey.UsageDelta) error {
	for _, d := range batch {
		if r.bad[d.KeyID] {
			return errors.New("this row cannot be written")
		}
	}
	return r.Store.AddUsage(ctx, batch)
}

func (r *refusing) Apply(ctx context.Context, c apikey.Change) (uint64, error) {
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
				s := serviceOn(t, store, apikey.Options{})
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

// TestCloseWritesUsageBesideAnOperation: one that takes longer than Close has time
// keeps nothing from being written.
func TestCloseWritesUsageBesideAnOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		store := &refusing{Store: mem}
		s := serviceOn(t, store, apikey.Options{})
		k, token := create(t, s)
		other, _ := create(t, s)
		store.takes = 9 * time.Second
		done := make(chan error, 1)
		go func() {
			_, err := s.Revoke(context.Background(), ops, other.ID, "")
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
		want(t, "the change", <-done, nil)
		want(t, "Close again", s.Close(t.Context()), nil)
	})
}
