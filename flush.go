package latchkey

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

const (
	// flushAim is how long a write of usage should take: long enough to be worth
	// a transaction, short enough that nothing waits for what is owed. The number
	// of keys in one follows. A store in this process does its work on processors
	// that requests wait for: there it is flushAimHere.
	flushAim     = 40 * time.Millisecond
	flushAimHere = 4 * time.Millisecond
	fewestKeys   = 16
	mostKeys     = 1000
	// flushRest is how many times as long as it worked a flush rests, where there
	// is time for it.
	flushRest = 4
	// flushTries is how many writes in a row may fail before a flush gives up.
	flushTries = 3
	flushPause = 10 * time.Millisecond // after one that failed
)

var errStuck = errors.New("the store was given usage to write and has not answered for too long")

// pace is what past writes have shown about the store's speed.
type pace struct {
	aim time.Duration // of a write; final

	mu     sync.Mutex
	size   int                        // keys in the next write
	active int                        // writes that are running
	each   [writers + 1]time.Duration // for a key, with so many writes running; 0: not known
}

// next returns how many keys to write next.
func (p *pace) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.size, fewestKeys)
}

// estimate returns how long so many writers take for so many keys, without rests;
// 0 if nothing is known.
func (p *pace) estimate(keys, writers int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(keys) * p.each[writers]
}

// begin notes a write that begins, and end one that has ended.
func (p *pace) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active++
}

func (p *pace) end(keys int, took time.Duration, taken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(p.active, writers) // a write that is stuck makes room for another
	p.active--
	if !taken {
		return
	}
	// Some stores run two writes at once, others one after the other. Both speeds
	// are measured; until they are, two writers count as no faster than one.
	now := took / time.Duration(keys*n)
	if before := p.each[n]; before > 0 { // one write says little: its neighbour may have ended early
		now = (3*before + now) / 4
	}
	p.each[n] = now
	if n < writers && (p.each[writers] == 0 || p.each[writers] > p.each[n]) {
		p.each[writers] = p.each[n]
	} else if p.each[1] < p.each[n] {
		p.each[1] = p.each[n]
	}
	switch {
	case took > p.aim:
		p.size = max(fewestKeys, int(int64(keys)*int64(p.aim)/int64(took)))
	case keys >= p.size && took < p.aim/2: // a smaller one says little of those to come
		p.size = min(mostKeys, 2*max(p.size, fewestKeys))
	}
}

// flushing is one flush.
type flushing struct {
	s   *Service
	end time.Time // by which to be done, if the store is quick; zero: at once

	group sync.WaitGroup // of run

	mu      sync.Mutex
	workers int
	left    int       // keys to begin with
	failed  int       // writes in a row
	taken   time.Time // when the store last took a write, or the flush began
	refused error     // of the write that failed last
	err     error     // why it was given up
}

// last reports whether no other flush follows: nothing is left for later.
func (f *flushing) last() bool { return f.end.IsZero() }

// flush writes all usage counted so far. If the store is quick enough it takes the
// time given, with rests, so that no request waits while thousands of keys are
// written. With 0 it writes as fast as it can, and is the last flush. What the
// store does not take is kept for the next one.
//
// It returns when ctx ends. A write that has begun is not aborted then, because
// its outcome would be unknown: it ends by its own deadline.
func (s *Service) flush(ctx context.Context, within time.Duration) error {
	f := &flushing{s: s, left: s.outbox.keys(), taken: time.Now()}
	if f.left == 0 {
		return nil
	}
	if within == 0 {
		f.left = math.MaxInt
	} else {
		f.end = time.Now().Add(within)
	}
	f.mu.Lock()
	f.startWriters(ctx)
	f.mu.Unlock()
	f.group.Wait() // not for long: they look at ctx
	if f.err == nil && within > 0 {
		return f.refused // to be tried again by a later flush
	}
	return f.err
}

// stuckAfter is how long to wait for a write on a store that ignores its deadline,
// and for any write to succeed in the last flush.
func (s *Service) stuckAfter() time.Duration { return 2 * s.o.StoreTimeout }

// startWriters starts a second writer if one would not finish in time. The caller
// holds mu.
func (f *flushing) startWriters(ctx context.Context) {
	want := 1
	if f.last() || f.s.pace.estimate(f.left, 1) > time.Until(f.end) {
		want = writers
	}
	for ; f.workers < want; f.workers++ {
		f.group.Go(func() { f.run(ctx) })
	}
}

// run writes one part after another.
func (f *flushing) run(ctx context.Context) {
	for {
		f.mu.Lock()
		enough := f.left <= 0 || f.err != nil
		f.mu.Unlock()
		if enough {
			return
		}
		began := time.Now()
		keys, err := f.s.flushSome(ctx, f.last())
		rest := f.next(ctx, keys, time.Since(began), err)
		if keys == 0 && err == nil {
			return
		}
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			f.next(ctx, 0, 0, ctx.Err())
			return
		}
	}
}

// next records the outcome of a part, and returns how long to rest before the next
// one.
func (f *flushing) next(ctx context.Context, keys int, took time.Duration, err error) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed++
		f.refused = err
		tries := flushTries
		if f.last() { // every set gets its chance: the second failure halves it at the latest
			tries = max(tries, 2*f.s.outbox.sets())
		}
		if f.failed >= tries || f.last() && time.Since(f.taken) > f.s.stuckAfter() || errors.Is(err, errStuck) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			f.err = err
		}
		return flushPause
	}
	f.failed, f.taken = 0, time.Now()
	f.left -= keys
	if f.last() || f.left <= 0 {
		return 0
	}
	f.startWriters(ctx)
	parts := (f.left + f.s.pace.next() - 1) / f.s.pace.next()
	return max(0, min(flushRest*took, time.Until(f.end)/time.Duration(parts)-took))
}

// flushSome writes a part of what is owed, and returns how many keys it had.
func (s *Service) flushSome(ctx context.Context, last bool) (keys int, err error) {
	l, batch, err := s.outbox.begin(ctx, s.pace.next(), last, s.stuckAfter())
	if l == nil {
		return 0, err
	}
	n, ended := len(l.keys), make(chan error, 1)
	s.pace.begin()
	go func() {
		began := time.Now()
		err := s.store.AddUsage(context.WithoutCancel(ctx), batch)
		s.pace.end(n, time.Since(began), err == nil)
		s.outbox.end(l, err == nil)
		ended <- err
	}()
	stuck := time.NewTimer(s.stuckAfter())
	defer stuck.Stop()
	select {
	case err = <-ended:
	case <-stuck.C:
		err = errStuck
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, storeError("usage", err)
	}
	return n, nil
}

// flushLoop begins a flush every FlushEvery, or sooner if the flush will last so
// long that counts would become older than one and a half times that.
func (s *Service) flushLoop() {
	step := max(s.o.FlushEvery/10, time.Millisecond)
	tick := time.NewTicker(step)
	defer tick.Stop()
	last, sooner := time.Now(), true
	for {
		select {
		case <-s.engine.Stopped().Done():
			return
		case <-tick.C:
		}
		waited := time.Since(last)
		within := s.flushWithin()
		if waited < s.o.FlushEvery-step/2 && !(sooner && waited+step+max(within, s.flushTakes()) > s.o.FlushEvery*3/2) {
			continue
		}
		last = time.Now()
		s.engine.Shrink()
		err := s.flush(s.engine.Stopped(), within)
		sooner = err == nil // a store that takes nothing is not asked more often
		if err != nil && s.engine.Stopped().Err() == nil {
			s.o.Logger.Warn("usage was not written and will be tried again", "error", err)
		}
		if lost := s.outbox.takeLost(); lost > 0 {
			s.o.Logger.Error("usage is lost: the store has not taken any for so long that there is no more room to keep it", "requests", lost)
		}
	}
}

// flushWithin is how long a flush that begins now should last: half of FlushEvery,
// but twice as long as one writer needs, up to three fifths, where the store's work
// takes processors that requests wait for.
func (s *Service) flushWithin() time.Duration {
	within := s.o.FlushEvery / 2
	if s.engine.Synchronous() {
		within = max(within, min(2*s.pace.estimate(s.outbox.waiting(), 1), s.o.FlushEvery*3/5))
	}
	return within
}

// flushTakes estimates how long writing the current counts takes at full speed. It
// adds three eighths, because counting so much keeps the processor busy: with a
// quarter, a count of 100,000 keys was 7.55 s old at the worst.
func (s *Service) flushTakes() time.Duration {
	return s.pace.estimate(s.outbox.waiting(), writers) * 11 / 8
}
