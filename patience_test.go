package latchkey_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// unanswering is a store that stops answering. It heeds contexts, unless it is
// deaf: then it hangs until that is closed.
type unanswering struct {
	storage.Store
	hangs atomic.Bool
	deaf  chan struct{}
}

func (s *unanswering) Unwrap() storage.Store { return s.Store }

func (s *unanswering) wait(ctx context.Context) error {
	switch {
	case s.hangs.Load() && s.deaf != nil:
		<-s.deaf
	case s.hangs.Load():
		<-ctx.Done()
	}
	return ctx.Err()
}

func (s *unanswering) Get(ctx context.Context, id string) (r storage.Record, err error) {
	if err = s.wait(ctx); err == nil {
		r, err = s.Store.Get(ctx, id)
	}
	return r, err
}

func (s *unanswering) Apply(ctx context.Context, c storage.Change) (revision uint64, err error) {
	if err = s.wait(ctx); err == nil {
		revision, err = s.Store.Apply(ctx, c)
	}
	return revision, err
}

func (s *unanswering) List(ctx context.Context, q storage.Query) (l storage.Listing, err error) {
	if err = s.wait(ctx); err == nil {
		l, err = s.Store.List(ctx, q)
	}
	return l, err
}

func (s *unanswering) Audit(ctx context.Context, q apikey.AuditQuery) (all []apikey.AuditEntry, err error) {
	if err = s.wait(ctx); err == nil {
		all, err = s.Store.Audit(ctx, q)
	}
	return all, err
}

func (s *unanswering) Usage(ctx context.Context, id string, since time.Time) (u apikey.Usage, err error) {
	if err = s.wait(ctx); err == nil {
		u, err = s.Store.Usage(ctx, id, since)
	}
	return u, err
}

func (s *unanswering) Activity(ctx context.Context, ids []string, since time.Time) (all []apikey.Activity, err error) {
	if err = s.wait(ctx); err == nil {
		all, err = s.Store.Activity(ctx, ids, since)
	}
	return all, err
}

// Plan makes it a PlanSource.
func (s *unanswering) Plan(ctx context.Context, name string) (apikey.Plan, error) {
	if err := s.wait(ctx); err != nil {
		return apikey.Plan{}, err
	}
	return apikey.Plan{Name: name, Unlimited: true}, nil
}

// TestNoCallOfTheStoreWaitsForEver: whoever calls without a deadline of their own
// is told after StoreTimeout that the store does not answer, after five times as
// long when it is a change.
func TestNoCallOfTheStoreWaitsForEver(t *testing.T) { noCallWaits(t, false, 0) }

// TestNoCallWaitsForAStoreThatIgnoresItsContext for more than a second longer.
func TestNoCallWaitsForAStoreThatIgnoresItsContext(t *testing.T) { noCallWaits(t, true, time.Second) }

func noCallWaits(t *testing.T, deaf bool, longer time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		store := &unanswering{Store: memstore.New()}
		if deaf {
			store.deaf = make(chan struct{})
			defer close(store.deaf)
		}
		s := serviceOn(t, store, latchkey.Options{PlanSource: store, DefaultPlan: "any", StoreTimeout: time.Second, CacheSize: 1})
		k, token := create(t, s)
		ctx := context.Background()
		plan := "another"
		store.hangs.Store(true)
		for what, call := range map[string]func() error{
			"Verify":    func() error { return verify(t, s, token) },
			"Get":       func() error { _, err := s.Get(ctx, k.ID); return err },
			"Identify":  func() error { _, err := s.Identify(ctx, token); return err },
			"List":      func() error { _, err := s.List(ctx, latchkey.ListRequest{}); return err },
			"Due":       func() error { _, err := s.Due(ctx, "", 0); return err },
			"PepperUse": func() error { _, err := s.PepperUse(ctx); return err },
			"Audit":     func() error { _, err := s.Audit(ctx, apikey.AuditQuery{}); return err },
			"Usage":     func() error { _, err := s.Usage(ctx, k.ID, time.Time{}); return err },
			"Activity":  func() error { _, err := s.Activity(ctx, []string{k.ID}, time.Time{}); return err },
			"Rotation":  func() error { _, err := s.Rotation(ctx, k.ID); return err },
			"Disable":   func() error { _, err := s.Disable(ctx, ops, k.ID, ""); return err },
			"Update":    func() error { _, err := s.Update(ctx, ops, k.ID, latchkey.Update{Plan: &plan}); return err },
			"Purge":     func() error { _, err := s.Purge(ctx, ops, latchkey.MinPurgeAge); return err },
			"Create": func() error {
				_, _, err := s.Create(ctx, ops, latchkey.NewKey{Name: "n", Owner: "o"})
				return err
			},
			"Create, once": func() error {
				_, _, err := s.Create(ctx, ops, latchkey.NewKey{Name: "n", Owner: "o", Once: "x"})
				return err
			},
		} {
			if deaf { // whoever reads a key for a request waits for the store; nobody waits for them
				go verify(t, s, token)
				synctest.Wait()
			}
			begun := time.Now()
			err := call()
			if took := time.Since(begun); !errors.Is(err, apikey.Unavailable) || took < time.Second || took > time.Second+longer {
				t.Errorf("%s: %v after %v, want Unavailable after a second, or up to %v later", what, err, took, longer)
			}
		}
		store.hangs.Store(false)
		lateApply := &hangsInApply{Store: store, deaf: store.deaf}
		s = serviceOn(t, lateApply, latchkey.Options{StoreTimeout: time.Second, MaxStale: time.Second})
		begun := time.Now()
		_, err := s.Disable(ctx, ops, k.ID, "")
		if took := time.Since(begun); !errors.Is(err, apikey.Unavailable) || took != 5*time.Second+longer {
			t.Errorf("a change: %v after %v, want Unavailable after %v", err, took, 5*time.Second+longer)
		}
	})
}

type hangsInApply struct {
	storage.Store
	deaf chan struct{}
}

func (s *hangsInApply) Apply(ctx context.Context, _ storage.Change) (uint64, error) {
	<-ctx.Done()
	if s.deaf != nil {
		<-s.deaf
	}
	return 0, ctx.Err()
}
