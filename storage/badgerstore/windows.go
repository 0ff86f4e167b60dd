package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// LoadWindows returns what [Store.SaveWindows] last kept for the subject; nil
// when there is nothing, or its time has run out. The bytes are the caller's.
func (s *Store) LoadWindows(ctx context.Context, subject string) ([]byte, error) {
	if err := s.life.enter(ctx); err != nil {
		return nil, err
	}
	defer s.life.leave()
	state := []byte{}
	err := s.db.View(func(txn *badger.Txn) error {
		return read(txn, windowKey(subject), func(v []byte) error { state = append(state, v...); return nil })
	})
	switch {
	case errors.Is(err, badger.ErrKeyNotFound), errors.Is(err, badger.ErrInvalidKey):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("badgerstore: load windows: %w", err)
	}
	return state, nil
}

// SaveWindows keeps the limiter's state of a subject for at least ttl, which
// must be positive. It survives the death of the process when it returns; power
// loss may take it. The state is copied.
func (s *Store) SaveWindows(ctx context.Context, subject string, state []byte, ttl time.Duration) error {
	if err := s.life.enter(ctx); err != nil {
		return err
	}
	defer s.life.leave()
	switch {
	case ttl <= 0:
		return tooLarge("ttl", fmt.Sprintf("%v is not positive", ttl))
	case len(subject) > maxSubject:
		return tooLarge("subject", fmt.Sprintf("has %d bytes, at most %d are allowed", len(subject), maxSubject))
	case len(state) > maxValue:
		return tooLarge("state", fmt.Sprintf("has %d bytes, at most %d are allowed", len(state), maxValue))
	}
	entry := badger.NewEntry(windowKey(subject), state)
	// Badger counts whole seconds and cuts off the rest, on both sides.
	entry.ExpiresAt = uint64(time.Now().Add(ttl).Unix()) + 1
	s.flow.RLock()
	defer s.flow.RUnlock()
	if err := s.db.Update(func(txn *badger.Txn) error { return txn.SetEntry(entry) }); err != nil {
		return fmt.Errorf("badgerstore: save windows: %w", err)
	}
	return nil
}

// DeleteWindows forgets the state of the subjects; those without state are no
// error.
func (s *Store) DeleteWindows(ctx context.Context, subjects []string) error {
	if err := s.life.enter(ctx); err != nil {
		return err
	}
	defer s.life.leave()
	s.flow.RLock()
	defer s.flow.RUnlock()
	batch := s.db.NewWriteBatch() // as many transactions as it takes
	defer batch.Cancel()
	for _, subject := range subjects {
		if len(subject) > maxSubject {
			continue // never kept
		}
		if err := batch.Delete(windowKey(subject)); err != nil {
			return fmt.Errorf("badgerstore: delete windows: %w", err)
		}
	}
	if err := batch.Flush(); err != nil {
		return fmt.Errorf("badgerstore: delete windows: %w", err)
	}
	return nil
}
