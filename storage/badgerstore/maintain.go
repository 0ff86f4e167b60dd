package badgerstore

import (
	"context"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Maintain compacts the directory at once: what was deleted, replaced or has
// run out gives its room back. Badger does that by itself while changes go on;
// call this after a large purge, or before a backup. It may take seconds a
// gigabyte; the store stays usable meanwhile.
func (s *Store) Maintain(ctx context.Context) error {
	if err := s.life.enter(ctx); err != nil {
		return err
	}
	defer s.life.leave()
	s.maintain.Lock()
	defer s.maintain.Unlock()
	if err := s.db.Flatten(1); err != nil {
		return fmt.Errorf("badgerstore: maintain: %w", err)
	}
	s.collect()
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
			s.maintain.Lock()
			s.collect()
			s.maintain.Unlock()
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
