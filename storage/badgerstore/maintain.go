package badgerstore

import (
	"context"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
)

// Maintain compacts the directory at once, which frees the space of what was
// deleted, replaced or has expired. Badger does this on its own while changes
// go on; call Maintain after a large purge, or before a backup. It may take
// seconds per gigabyte, and as much space as the tables have; the store stays
// usable meanwhile. When ctx ends, Maintain returns and the compaction goes on.
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
			err = apikey.Closed
		}
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.stop:
		err = apikey.Closed
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
// puts nothing there, so it finds work only if another version did.
func (s *Store) collect() {
	for s.reserve.lost() == nil {
		s.flow.RLock() // it writes: see commit
		err := s.db.RunValueLogGC(0.5)
		s.flow.RUnlock()
		if err != nil {
			if err != badger.ErrNoRewrite && err != badger.ErrRejected {
				s.log.Warn("badgerstore: value log", "error", err)
			}
			return
		}
	}
}
