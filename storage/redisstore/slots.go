package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/limiter"
)

// place is where a request in progress counts: a key, and the limits in it.
type place struct {
	key    string
	limits []uint64 // their ids
}

// places returns where the request counts as one in progress.
func (l *Limiter) places(c *checked, d *limiter.Decision) (all []place) {
	doubt := false
	for i, p := range c.all {
		doubt = doubt || p.shadow && d.Windows[i].Violated
	}
	for i, parts := range c.parts {
		var limits []uint64
		for _, p := range parts {
			if p.kind == concurrent && !(p.shadow && doubt) {
				limits = append(limits, p.id)
			}
		}
		if limits != nil {
			all = append(all, place{l.key(c.subjects[i]), limits})
		}
	}
	return all
}

// slots are the requests of this process that are in progress. Each ends in
// Redis after life unless it is renewed: a third of that is how often.
type slots struct {
	life time.Duration
	last atomic.Uint64
	stop chan struct{}

	mu       sync.Mutex
	held     map[uint64][]place
	renewing bool
	late     map[uint64][]place // released while they were being renewed
	running  chan struct{}      // closed when the goroutine has ended; nil if there is none
	closed   bool
}

func (s *slots) init(life time.Duration) {
	s.life, s.held, s.stop = life, map[uint64][]place{}, make(chan struct{})
	s.last.Store(rand.Uint64())
}

// next returns a name for a request: no other process has one like it, but for
// a chance of 2^-64 each.
func (s *slots) next() (slot uint64) {
	for slot == 0 {
		slot = s.last.Add(1)
	}
	return slot
}

func (s *slots) hold(l *Limiter, slot uint64, places []place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.held[slot] = places
	if s.running == nil {
		s.running = make(chan struct{})
		go s.run(l, s.running)
	}
}

// release ends the renewal of a slot. If one is on its way, it may arrive after
// the settlement, so the slot is freed again afterwards.
func (s *slots) release(slot uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if places := s.held[slot]; s.renewing && places != nil {
		s.late[slot] = places
	}
	delete(s.held, slot)
}

// run renews what is held until there is nothing left.
func (s *slots) run(l *Limiter, ended chan struct{}) {
	defer close(ended)
	wait := s.life / 3
	for {
		select {
		case <-s.stop:
			return
		case <-time.After(wait):
		}
		s.mu.Lock()
		if len(s.held) == 0 || s.closed {
			s.running = nil
			s.mu.Unlock()
			return
		}
		calls := l.calls(renew, s.held)
		s.renewing, s.late = true, map[uint64][]place{}
		s.mu.Unlock()

		err := s.send(l, calls)

		s.mu.Lock()
		late := s.late
		s.renewing, s.late = false, nil
		s.mu.Unlock()
		if len(late) > 0 {
			err = errors.Join(err, s.send(l, l.calls(settle, late)))
		}
		if wait = s.life / 3; err != nil {
			l.log.Warn("redisstore: requests in progress could not be renewed", "error", err)
			wait = s.life / 15
		}
	}
}

// calls returns one call for each key in which slots count.
func (l *Limiter) calls(about byte, held map[uint64][]place) []Call {
	keys := map[string]map[uint64][]uint64{} // by key and limit: rules of one limit differ by its N
	for slot, places := range held {
		for _, p := range places {
			if keys[p.key] == nil {
				keys[p.key] = map[uint64][]uint64{}
			}
			for _, id := range p.limits {
				keys[p.key][id] = append(keys[p.key][id], slot)
			}
		}
	}
	var calls []Call
	for key, limits := range keys {
		q := append(newQuestion(about, l.number.Add(1)&(1<<48-1), 0, 1), byte(len(limits)))
		for id, names := range limits {
			q = q.rule(&rule{id: id, kind: concurrent}, 0, 0, int64(len(names)), l.slots.life.Milliseconds())
			for _, slot := range names {
				q = q.put(8, slot)
			}
		}
		calls = append(calls, Call{Keys: []string{key}, Arg: string(q)})
	}
	return calls
}

func (s *slots) send(l *Limiter, calls []Call) error {
	ctx, cancel := context.WithTimeout(context.Background(), max(l.timeout, s.life/15))
	defer cancel()
	for _, r := range l.script.run(ctx, l.client, calls...) {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

func (s *slots) close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stop)
	}
	running := s.running
	s.mu.Unlock()
	if running == nil {
		return nil
	}
	select {
	case <-running:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
