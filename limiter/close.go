package limiter

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Close ends the limiter: later calls return [ErrClosed]. With a Journal it
// writes the exact counts of every subject in place of its reservation, so that
// the next process starts with exactly the counts of this one. It returns when
// ctx ends, whatever the journal does. If Close fails, call it again, and it
// continues where it stopped. Close may be called concurrently.
func (w *Window) Close(ctx context.Context) error {
	w.closed.Store(true)
	if w.journal == nil {
		return nil
	}
	select { // one at a time
	case w.closing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: close: %w", ErrUnavailable, ctx.Err())
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-w.closing }()
		done <- w.flushAll(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: close: %w", ErrUnavailable, ctx.Err())
	}
}

// flushAll writes the exact counts of all subjects.
func (w *Window) flushAll(ctx context.Context) error {
	// Several writers, so that the journal can commit them in groups.
	const writers = 16
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for s := i; s < shards; s += writers {
				if err := w.flush(ctx, &w.shards[s]); err != nil {
					errs[i] = fmt.Errorf("%w: close: %w", ErrUnavailable, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// flush writes the exact counts of a shard's buckets. The limiter is closed:
// once a bucket is not busy, nobody changes it.
func (w *Window) flush(ctx context.Context, s *shard) error {
	s.mu.Lock()
	all := s.buckets()
	s.mu.Unlock()
	for _, b := range all {
		if err := w.flushBucket(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (w *Window) flushBucket(ctx context.Context, b *bucket) error {
	p := []party{{bucket: b}}
	lock(p)
	defer unlock(p)
	l := b.lease()
	for l.busy() {
		if err := w.wait(ctx, p, l.io); err != nil {
			return err
		}
	}
	if b.gone || !l.known || !l.over {
		return nil
	}
	counts, _ := b.memory(w.now())
	state := b.encode(nil)
	err := w.outside(ctx, p, []*bucket{b}, func(ctx context.Context) error {
		return w.journal.SaveWindows(ctx, b.subject(), state, ttl(counts))
	})
	if err != nil {
		return err
	}
	l.over = false
	return nil
}
