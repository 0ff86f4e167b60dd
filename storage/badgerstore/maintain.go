package badgerstore

import (
	"context"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
)

// Maintain compacts the directory at once: what was deleted, replaced or has
// run out gives its room back. Badger does that by itself while changes go on;
// call this after a large purge, or before a backup. It may take seconds a
// gigabyte, and as much room as the tables have; the store stays usable meanwhile.
// When ctx ends it goes on, and nobody waits for it.
func (s *Store) Maintain(ctx context.Context) (err error) {
	if err := s.life.enter(ctx); err != nil {
		return err
	}
	defer s.life.leave(&err)
	answer := make(chan error, 1)
	select {
	case s.wanted <- answer:
		select {
		case err = <-answer:
		case <-ctx.Done():
			err = ctx.Err()
		case <-s.stop:
			err = apikey.ErrClosed
		}
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.stop:
		err = apikey.ErrClosed
	}
	if err != nil {
		return fmt.Errorf("badgerstore: maintain: %w", err)
	}
	return nil
}

// keepTidy runs until Close.
func (s *Store) keepTidy(every time.Duration) {
	defer close(s.stopped)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if s.maintain.TryLock() {
				s.collect()
				s.maintain.Unlock()
			}
		case <-s.stop:
			return
		}
	}
}

// collect frees files of the value log that are mostly garbage. This version
// puts nothing there, so it finds work only when another one did.
func (s *Store) collect() {
	for {
		s.flow.RLock() // it writes: see commit
		err := s.db.RunValueLogGC(0.5)
		s.flow.RUnlock()
		if err != nil {
			if err != badger.ErrNoRewrite && err != badger.ErrRejected {
				s.log.Warn("badgerstore: value log", "err", err)
			}
			return
		}
	}
}
