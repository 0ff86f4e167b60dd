package apikey

import (
	"context"
	"time"
)

const (
	// flushPart is how many keys a store is given at a time: few enough that
	// nothing waits for long, for the processor or for what is owed.
	flushPart = 16
	// flushRest is how many times as long as it worked a flush rests, where there
	// is time for it.
	flushRest = 4
)

// flush writes all usage counted so far, within a time if the store is quick:
// a part at a time, with a rest after each, so that no request waits while
// thousands of keys are written. What the store does not take is kept for the
// next flush.
func (s *Service) flush(ctx context.Context, within time.Duration) error {
	left := (s.outbox.keys() + flushPart - 1) / flushPart
	for end := time.Now().Add(within); left > 0; left-- {
		began := time.Now()
		if err := s.flushSome(ctx); err != nil || left == 1 {
			return err
		}
		at := time.Now()
		took := at.Sub(began)
		rest := time.NewTimer(min(flushRest*took, end.Sub(at)/time.Duration(left-1)-took))
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// flushSome writes a part of what is owed.
func (s *Service) flushSome(ctx context.Context) error {
	batch := s.outbox.begin(flushPart)
	if batch == nil {
		return nil
	}
	err := s.store.AddUsage(ctx, batch)
	s.outbox.end(err == nil)
	if err != nil {
		return storeError("usage", err)
	}
	return nil
}

func (s *Service) flushLoop() {
	tick := time.NewTicker(s.o.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stopped.Done():
			return
		case <-tick.C:
		}
		s.cache.shrink()
		if err := s.flush(s.stopped, s.o.FlushEvery/2); err != nil && s.stopped.Err() == nil {
			s.log.Warn("usage was not written and will be tried again", "error", err)
		}
	}
}
