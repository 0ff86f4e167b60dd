package pgstore

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/limiter"
)

// slots are the requests in progress of this process. Each has a number, which
// the server keeps for each of its limits until life has passed, or until it is
// renewed.
type slots struct {
	life time.Duration

	mu       sync.Mutex
	held     map[int64][]place
	renewing chan struct{} // closed when the renewal that is under way has ended; nil if there is none
	keeping  bool          // there is a goroutine that renews
}

// place is where the server keeps a slot.
type place struct {
	subject string
	limit   int64
}

// newSlot returns a number for a request. They are from -1<<62 to -1: never a
// time, nor the id of a limit.
func newSlot() int64 { return int64(rand.Uint64() | 3<<62) }

// slotOf returns the number in a decision, or 0 if it cannot be one.
func slotOf(d limiter.Decision) int64 {
	if d.Slot>>62 != 3 {
		return 0
	}
	return int64(d.Slot)
}

// hold renews a slot from now on, in the places where the request d has one.
// It reports whether there are any.
func (l *Limiter) hold(slot int64, q *question, d limiter.Decision) bool {
	var places []place
	shadows := q.shadowsCharged(d)
	for i := range q.limits {
		if x := &q.limits[i]; x.Concurrent && (shadows || !x.Shadow) {
			places = append(places, place{x.subject, x.id})
		}
	}
	if len(places) == 0 {
		return false
	}
	s := &l.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[int64][]place{}
	}
	s.held[slot] = places
	if !s.keeping {
		s.keeping = true
		go l.keepSlots()
	}
	return true
}

// release renews a slot no more. It waits for a renewal that is under way, which
// could put the slot back after it was freed.
func (s *slots) release(ctx context.Context, slot int64) {
	ctx, cancel := context.WithTimeout(ctx, s.life/6)
	defer cancel()
	s.mu.Lock()
	delete(s.held, slot)
	renewing := s.renewing
	s.mu.Unlock()
	if renewing != nil {
		select {
		case <-renewing:
		case <-ctx.Done():
		}
	}
}

// keepSlots renews the slots every third of their life, as long as there are
// any. After a failure it tries again five times as often.
func (l *Limiter) keepSlots() {
	s := &l.slots
	ctx, leave, err := l.s.life.enter(context.Background())
	if err != nil {
		return
	}
	defer leave()
	for pause := s.life / 3; ; {
		select {
		case <-time.After(pause):
		case <-l.s.life.closing:
			return
		}
		pause = s.life / 3
		if err := l.renewSlots(ctx); err != nil {
			pause /= 5
			l.log.LogAttrs(ctx, slog.LevelWarn, "pgstore: requests in progress could not be renewed", slog.Any("error", advised(err)))
		}
		s.mu.Lock()
		if len(s.held) == 0 {
			s.keeping = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

const renewSQL = `SELECT "latchkey".limit_renew($1::bytea[], $2::integer[], $3::bigint[], $4::bigint, $5::integer, $6::bigint)`

// renewSubjects is how many rows a renewal locks at a time.
const renewSubjects = 256

// renewSlots renews all slots, those of many subjects in several steps.
func (l *Limiter) renewSlots(ctx context.Context) error {
	s := &l.slots
	ctx, cancel := context.WithTimeout(ctx, s.life/6)
	defer cancel()
	s.mu.Lock()
	of := map[string][]int64{}
	for slot, places := range s.held {
		for _, p := range places {
			of[p.subject] = append(of[p.subject], p.limit, slot)
		}
	}
	renewing := make(chan struct{})
	s.renewing = renewing
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.renewing = nil
		s.mu.Unlock()
		close(renewing)
	}()

	lost := int64(0)
	for some := range slices.Chunk(slices.Sorted(maps.Keys(of)), renewSubjects) {
		var names [][]byte
		var sizes []int32
		var numbers []int64
		for _, name := range some {
			names, sizes, numbers = append(names, []byte(name)), append(sizes, int32(len(of[name]))), append(numbers, of[name]...)
		}
		var back int64
		args := []any{names, sizes, numbers, int64(s.life), l.patience(), l.serverAt()}
		if err := (ours{l.s.pool}).run(ctx, l.renew, args, func(row pgx.Row) error { return row.Scan(&back) }); err != nil {
			return err
		}
		lost += back
	}
	if lost > 0 {
		l.log.LogAttrs(ctx, slog.LevelWarn, "pgstore: requests in progress were not renewed in time, and are counted again", slog.Int64("requests", lost))
	}
	return nil
}
