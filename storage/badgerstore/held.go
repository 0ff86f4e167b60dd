package badgerstore

import (
	"maps"
	"sync"
	"time"
)

// heldWindows holds the limiter's windows for which the disk had no space. Without it every request whose window is not
// covered by an older reservation would be refused. The windows are written when there is space again, and at Close.
type heldWindows struct {
	mu     sync.Mutex
	states map[string]heldState
	bytes  int
}

type heldState struct {
	state []byte
	until time.Time
}

// maxHeld bounds the memory that held windows take. Further ones are refused.
const maxHeld = 64 << 20

func (h *heldWindows) save(subject string, state []byte, until time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	size := heldSize(subject, state)
	if old, ok := h.states[subject]; ok {
		size -= heldSize(subject, old.state)
	}
	if h.bytes+size > maxHeld {
		return false
	}
	if h.states == nil {
		h.states = make(map[string]heldState)
	}
	h.bytes += size
	h.states[subject] = heldState{append([]byte{}, state...), until}
	return true
}

func heldSize(subject string, state []byte) int { return 2*len(subject) + len(state) + 128 }

func (h *heldWindows) load(subject string) (state []byte, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.states[subject]
	if !ok || time.Now().After(s.until) {
		return nil, ok
	}
	return append([]byte{}, s.state...), true
}

func (h *heldWindows) drop(subject string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.states[subject]; ok {
		h.bytes -= heldSize(subject, s.state)
		delete(h.states, subject)
	}
}

// writeHeld writes held windows, as far as there is space; at Close, it also uses the space that was put aside. The
// limiter may save a state of the same subject meanwhile; the mutex saving decides which of the two comes last.
func (s *Store) writeHeld(urgent bool) {
	s.held.mu.Lock()
	states := maps.Clone(s.held.states)
	s.held.mu.Unlock()
	for subject := range states {
		s.saving.Lock()
		s.held.mu.Lock()
		h, ok := s.held.states[subject]
		s.held.mu.Unlock()
		if ok {
			s.flow.RLock()
			err := s.writeWindows(subject, h.state, h.until, urgent)
			s.flow.RUnlock()
			if err != nil {
				s.saving.Unlock()
				return
			}
			s.held.drop(subject)
		}
		s.saving.Unlock()
	}
}
