package latchkey

import (
	"context"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// Close refuses new operations, waits for running ones, writes the usage that
// is still in memory and ends the service's goroutines. From then on every key
// is answered with [apikey.Closed]: shut the HTTP server down first.
//
// Close returns when ctx ends, whatever the store does. Its error then says
// that work is left, and the counts are still in memory: call Close again to
// continue. Only when it has returned nil is everything written. After that
// another Close does nothing. Close may be called concurrently.
func (s *Service) Close(ctx context.Context) error {
	s.closed.Store(true)
	s.gate.close()
	s.stop()
	s.idling.Do(func() {
		go func() {
			<-s.gate.empty
			s.workers.Wait()
			close(s.idle)
		}()
	})
	select { // one at a time from here on
	case s.ending <- struct{}{}:
		defer func() { <-s.ending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := s.flush(ctx, 0) // now: an operation may take all the time there is
	if err := await(ctx, s.idle); err != nil {
		return err
	}
	s.leaveOnce(ctx)
	if err != nil {
		return err
	}
	return s.flush(ctx, 0) // what was counted meanwhile
}

// leavePatience is how long Close tries to tell the other processes.
const leavePatience = time.Second

// leaveOnce ends what others do for this service. It must not be called
// concurrently.
func (s *Service) leaveOnce(ctx context.Context) {
	if s.left {
		return
	}
	s.left = true
	s.cache.stopTimers()
	ctx, cancel := context.WithTimeout(ctx, leavePatience)
	defer cancel()
	gone := make(chan struct{})
	go func() { // the store may ignore ctx
		defer close(gone)
		_ = s.store.safely(func() error {
			s.cancel()
			if s.lease != nil {
				s.lease.leave(ctx)
			}
			return nil
		})
	}()
	_ = await(ctx, gone)
}

// enter makes Close wait until leave is called. It never waits itself, and
// operations may nest.
func (s *Service) enter() error {
	if !s.gate.enter() {
		return apikey.Closed
	}
	return nil
}

func (s *Service) leave() { s.gate.leave() }
