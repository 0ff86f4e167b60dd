package limiter

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Journal is where a [Window] keeps its counts across restarts. Only one
// process at a time may use a journal. Every call has a deadline: half a
// minute, or the request's if that is sooner. The state is opaque. The limiter
// passes subjects of 1 to [MaxSubject] arbitrary bytes, and makes calls for
// different subjects concurrently.
type Journal interface {
	// LoadWindows returns the last saved state of the subject, or nil, nil if
	// there is none. The caller owns the slice.
	LoadWindows(ctx context.Context, subject string) ([]byte, error)
	// SaveWindows replaces the state of the subject. When it returns nil the
	// state survives a kill -9 of the process and is kept for at least ttl.
	// The slice must not be kept.
	SaveWindows(ctx context.Context, subject string, state []byte, ttl time.Duration) error
	// DeleteWindows removes the states of the subjects. It need not be
	// durable when it returns: a state that comes back costs its subject at
	// most the reservation that it holds.
	DeleteWindows(ctx context.Context, subjects []string) error
}

// renew writes records with new reservations for the short parties. Nothing is
// admitted for them meanwhile, and the caller decides again under the mutexes
// that are locked when renew returns, so a large cost cannot starve.
func (w *Window) renew(ctx context.Context, p []party, short []int, costs *charges, now int64) error {
	type save struct {
		state  []byte
		layout *layout
		left   []int64
		ttl    time.Duration
	}
	var saves []save
	var held []*bucket
	for _, i := range short {
		b := p[i].bucket
		l := b.lease()
		// Slow start: a key that is used once is charged once for a crash, and a busy
		// one seldom causes a write.
		l.block = max(1, min(2*l.block, w.reserve, p[i].eighth()))
		left := make([]int64, b.counts())
		copy(left, l.left) // what the request does not charge keeps its own
		for j := range p[i].Limits {
			limit := &p[i].Limits[j]
			if cost := costs[first(p, i)+j]; cost > 0 && !limit.Concurrent {
				block := l.block
				if limit.Unit != "" {
					block = min(block, limit.N/8)
				}
				left[p[i].at[j]] = max(cost, block)
			}
		}
		// The last hit of the reservation may come when it ends, and must be
		// remembered from then on.
		counts, reservation := b.memory(now)
		l.left, l.until = nil, now+int64(reservation)
		saves = append(saves, save{b.encode(left), b.layout, left, ttl(reservation + counts)})
		held = append(held, b)
		l.record, l.over = true, true // even if the write fails: it may have happened
	}
	err := w.outside(ctx, p, held, func(ctx context.Context) error {
		for i, b := range held {
			if err := w.journal.SaveWindows(ctx, b.subject(), saves[i].state, saves[i].ttl); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: save: %w", ErrUnavailable, err)
	}
	for i, b := range held {
		if b.layout == saves[i].layout { // otherwise there are limits that the record does not know
			b.lease().left = saves[i].left
		}
	}
	return nil
}

// eighth returns an eighth of the smallest N of the limits on requests.
func (q *party) eighth() int64 {
	least := int64(never)
	for i := range q.Limits {
		if l := &q.Limits[i]; l.Unit == "" && !l.Concurrent {
			least = min(least, l.N)
		}
	}
	return least / 8
}

// first returns the place of a party's first limit among those of the request.
func first(p []party, i int) (n int) {
	for j := range p[:i] {
		n += len(p[j].Limits)
	}
	return n
}

// ttl is how long a record must be kept: a little longer than it counts.
func ttl(counts time.Duration) time.Duration { return min(counts, forAges) + time.Minute }

// load reads the record of a bucket that is new in this process.
func (w *Window) load(ctx context.Context, p []party, i int) error {
	b := p[i].bucket
	var state []byte
	err := w.outside(ctx, p, []*bucket{b}, func(ctx context.Context) (err error) {
		state, err = w.journal.LoadWindows(ctx, b.subject())
		return err
	})
	if err != nil { // the next call tries again
		return fmt.Errorf("%w: load: %w", ErrUnavailable, err)
	}
	b.lease().known = true
	if state == nil {
		return nil
	}
	b.lease().record = true
	rec, err := decodeWindows(state)
	if err != nil {
		// The counts are lost, and the guarantee is that nothing is admitted in
		// excess. So the limits start full, as if they had been used up when this
		// process started, and recover when that leaves or the period ends.
		w.log.LogAttrs(ctx, slog.LevelError, "limiter: record cannot be decoded, its limits start full",
			slog.String("subject", b.subject()), slog.Any("error", err))
		rec = fullRecord(p[i].Limits, w.wall)
	}
	// A record of this process itself, for a bucket that was removed when idle,
	// needs no care: its reservation, dated at the start, has left as well.
	b.lease().over = err != nil
	for i := range rec {
		b.lease().over = b.lease().over || rec[i].reserved > 0
	}
	b.restore(&w.layouts, rec, w.wall)
	return nil
}

// forget deletes the records of idle buckets, then the buckets. The mutex of
// the shard is held on entry and on return. The buckets are busy until done is
// closed: requests that come meanwhile wait, so a deletion never overtakes the
// next record.
func (w *Window) forget(ctx context.Context, s *shard, idle []*bucket, done chan struct{}) {
	subjects := make([]string, 0, len(idle))
	for _, b := range idle {
		subjects = append(subjects, b.subject())
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		for _, b := range idle {
			b.mu.Lock()
			b.lease().io = nil
			s.remove(w.seed, b)
			b.mu.Unlock()
		}
		close(done)
	}()
	// The caller's request has been decided: its end must not interrupt the
	// clean-up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalPatience)
	defer cancel()
	if err := w.journal.DeleteWindows(ctx, subjects); err != nil {
		w.log.LogAttrs(ctx, slog.LevelWarn, "limiter: delete idle records", slog.Any("error", err))
	}
}
