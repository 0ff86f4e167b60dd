package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// countedReads counts the reads of a store, and makes each take a while.
type countedReads struct {
	*memstore.Store
	reads atomic.Int64
	delay time.Duration
}

func (s *countedReads) Get(ctx context.Context, id string) (storage.Record, error) {
	s.reads.Add(1)
	time.Sleep(s.delay)
	return s.Store.Get(ctx, id)
}

// readsOfKeys counts what a key costs the store. apikey's own tests hold the
// same figures.
func readsOfKeys(out *report) error {
	ctx := context.Background()
	store := &countedReads{Store: memstore.New(), delay: 50 * time.Millisecond}
	service, err := latchkey.New(store, latchkey.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { _ = service.Close(ctx) }()
	all, err := issue(service, 1)
	if err != nil {
		return err
	}
	const together, cached = 1000, 10_000
	store.reads.Store(0)
	errs := make([]error, together)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() { _, errs[i] = service.Verify(ctx, all.of(0)) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	first := store.reads.Swap(0)
	for range cached {
		if _, err := service.Verify(ctx, all.of(0)); err != nil {
			return err
		}
	}
	again := store.reads.Load()
	out.goal(first == 1, "store reads of concurrent first uses of one key", fmt.Sprintf("%d requests", together), fmt.Sprint(first), "1")
	out.goal(again == 0, "store reads of a cached key", fmt.Sprintf("%d requests", cached), fmt.Sprint(again), "0")
	return nil
}
