package limiter

import (
	"context"
	"fmt"
	"time"
)

// lease is what the journal covers of one bucket. A record in the journal holds
// the exact counts of its time and a reservation: hits that may be admitted
// after it without another write. If the process dies, the next one assumes
// that the whole reservation was used, at the time when it starts.
//
// Invariant: what was charged to a limit since the record is at most what that
// reserves for it, and nothing was charged after until. So whenever a crash
// happens, the record charges at least what was admitted.
type lease struct {
	io     chan struct{} // closed when the journal's work on this bucket ends; nil: none
	known  bool          // the bucket has what the journal had
	record bool          // the journal may have a record
	over   bool          // the record counts more than the bucket does
	block  int64         // the most that the newest reservation has for cost 1
	left   []int64       // what each count of the bucket may still be charged; nil: nothing
	until  int64         // ... before this time
}

func (l *lease) busy() bool     { return l != nil && l.io != nil }
func (l *lease) recorded() bool { return l != nil && l.record }

// covers reports whether cost can be charged to the first n counts at now
// without the journal.
func (l *lease) covers(cost int64, n int, now int64) bool {
	if !l.known || l.io != nil || now >= l.until || len(l.left) < n {
		return false
	}
	for _, left := range l.left[:n] {
		if left < cost {
			return false
		}
	}
	return true
}

// use takes cost out of what the first n counts may be charged.
func (l *lease) use(cost int64, n int) {
	for i := range l.left[:n] {
		l.left[i] -= cost
	}
}

// cover takes the charges out of the reservations of the parties, or renews
// those that are too small. It reports false if it had to unlock the mutexes.
func (w *Window) cover(ctx context.Context, p []party, costs *charges, now int64) (bool, error) {
	if w.journal == nil {
		return true, nil
	}
	var short []int
	n := 0
	for i := range p {
		l := p[i].bucket.lease()
		if l.busy() {
			return false, w.wait(ctx, p, l.io)
		}
		lacks := false
		for j := range p[i].Limits {
			if at := int(p[i].at[j]); costs[n] > 0 && !p[i].Limits[j].Concurrent {
				lacks = lacks || now >= l.until || l.left == nil || l.left[at] < costs[n]
			}
			n++
		}
		if lacks {
			short = append(short, i)
		}
	}
	if len(short) > 0 {
		return false, w.renew(ctx, p, short, costs, now)
	}
	n = 0
	for i := range p {
		for j := range p[i].Limits {
			if costs[n] > 0 && !p[i].Limits[j].Concurrent {
				p[i].bucket.lease().left[p[i].at[j]] -= costs[n]
			}
			n++
		}
	}
	return true, nil
}

// journalPatience is how long one operation of the journal may take, and how
// long others wait for it.
const journalPatience = 30 * time.Second

// outside unlocks the mutexes, calls f, and locks them again. Meanwhile the
// held buckets are busy: others wait for them and no sweep removes them.
func (w *Window) outside(ctx context.Context, p []party, held []*bucket, f func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	for _, b := range held {
		b.lease().io = done
	}
	unlock(p)
	returned := false
	ctx, cancel := context.WithTimeout(ctx, journalPatience)
	defer cancel()
	defer func() {
		lock(p)
		for _, b := range held {
			b.lease().io = nil
		}
		close(done)
		if !returned { // f panicked, and nobody above unlocks
			unlock(p)
		}
	}()
	err := f(ctx)
	returned = true
	return err
}

// wait unlocks the mutexes until the journal's work on a bucket has ended,
// which happens within its deadline if the journal respects it.
func (w *Window) wait(ctx context.Context, p []party, io <-chan struct{}) error {
	unlock(p)
	defer lock(p)
	late := time.NewTimer(2 * journalPatience)
	defer late.Stop()
	select {
	case <-io:
		return nil
	case <-late.C:
		return fmt.Errorf("%w: the journal has not answered for %v", ErrUnavailable, 2*journalPatience)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}
