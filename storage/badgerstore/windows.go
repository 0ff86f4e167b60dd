package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
)

// LoadWindows returns what [Store.SaveWindows] last saved for the subject, or
// nil if there is nothing, or it has expired. The caller owns the bytes.
func (s *Store) LoadWindows(ctx context.Context, subject string) (_ []byte, err error) {
	if err := s.life.enter(ctx); err != nil {
		return nil, err
	}
	defer s.life.leave(&err)
	if state, ok := s.held.load(subject); ok {
		return state, nil
	}
	state := []byte{}
	err = s.db.View(func(txn *badger.Txn) error {
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

// SaveWindows saves the limiter's state of a subject for at least ttl, which
// must be positive. Once it has returned, the state survives the death of the
// process; power loss may take it. The state is copied.
//
// While the disk is full (see [Open]) the state is kept in memory, so that
// requests are still admitted. If the process dies then, that state is lost,
// and a window may admit again what it admitted meanwhile. It is written when
// there is space, and at Close.
func (s *Store) SaveWindows(ctx context.Context, subject string, state []byte, ttl time.Duration) (err error) {
	if err := s.life.enter(ctx); err != nil {
		return err
	}
	defer s.life.leave(&err)
	switch {
	case ttl <= 0:
		return tooLarge("ttl", fmt.Sprintf("%v is not positive", ttl))
	case len(subject) > maxSubject:
		return tooLarge("subject", fmt.Sprintf("has %d bytes, at most %d are allowed", len(subject), maxSubject))
	case len(state) > maxValue:
		return tooLarge("state", fmt.Sprintf("has %d bytes, at most %d are allowed", len(state), maxValue))
	}
	until := time.Now().Add(ttl)
	s.saving.RLock()
	defer s.saving.RUnlock()
	s.flow.RLock()
	defer s.flow.RUnlock()
	err = s.writeWindows(subject, state, until, false)
	switch {
	case err == nil:
		s.held.drop(subject)
	case !errors.Is(err, apikey.Unavailable) || !s.held.save(subject, state, until):
		return fmt.Errorf("badgerstore: save windows: %w", err)
	}
	return nil
}

func (s *Store) writeWindows(subject string, state []byte, until time.Time, urgent bool) error {
	entry := badger.NewEntry(windowKey(subject), state)
	// Badger counts in whole seconds and truncates, on both sides.
	entry.ExpiresAt = uint64(until.Unix()) + 1
	return s.reserve.write(int64(len(subject)+len(state))+192, urgent, func() error {
		return s.db.Update(func(txn *badger.Txn) error { return txn.SetEntry(entry) })
	})
}

// DeleteWindows deletes the state of the subjects; a subject without state is
// not an error.
func (s *Store) DeleteWindows(ctx context.Context, subjects []string) (err error) {
	if err := s.life.enter(ctx); err != nil {
		return err
	}
	defer s.life.leave(&err)
	s.flow.RLock()
	defer s.flow.RUnlock()
	var rows []row
	room := s.room()
	write := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := s.update(rowBytes(rows), func(txn *badger.Txn) error { return writeAll(txn, rows) })
		rows, room = rows[:0], s.room()
		return err
	}
	for _, subject := range subjects {
		s.held.drop(subject)
		if len(subject) > maxSubject {
			continue // never saved
		}
		gone := row{key: windowKey(subject), remove: true}
		if one := []row{gone}; !room.take(one) {
			if err := write(); err != nil {
				return fmt.Errorf("badgerstore: delete windows: %w", err)
			}
			room.take(one)
		}
		rows = append(rows, gone)
	}
	if err := write(); err != nil {
		return fmt.Errorf("badgerstore: delete windows: %w", err)
	}
	return nil
}
