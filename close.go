package latchkey

import (
	"context"

	"github.com/wontopos/latchkey/internal/engine"
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
	idle := s.engine.Shut()
	select { // one at a time from here on
	case s.ending <- struct{}{}:
		defer func() { <-s.ending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := s.flush(ctx, 0) // now: an operation may take all the time there is
	if err := engine.Await(ctx, idle); err != nil {
		return err
	}
	s.engine.LeaveOthers(ctx)
	if err != nil {
		return err
	}
	return s.flush(ctx, 0) // what was counted meanwhile
}
