package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/wontopos/latchkey/storage"
)

// Changes are committed in groups, because an fsync costs far more than the
// rest and one is enough for all waiting changes. Every Apply puts its change
// into a queue and then becomes the leader or waits. The leader takes the whole
// queue, makes one Badger transaction of it, and syncs once.
//
// Why the sync is sound: Badger appends a transaction to the log of its current
// memtable, and DB.Sync syncs the log of the memtable that is current at that
// time. If another write came in between and filled the memtable, the sync
// would miss the transaction. So nobody else writes from before the commit
// until after the sync (Store.flow), and a group is one transaction. Earlier
// writes of usage and windows are in the same log, or in one that a change
// synced after them.

// job is one change in progress. The fields below done belong to the leader
// until done is closed.
type job struct {
	ctx    context.Context
	change storage.Change
	done   chan struct{}
	notice storage.Notice
	err    error
}

type pending struct {
	mu   sync.Mutex
	jobs []*job
}

func (p *pending) add(j *job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jobs = append(p.jobs, j)
}

func (p *pending) takeAll() []*job {
	p.mu.Lock()
	defer p.mu.Unlock()
	jobs := p.jobs
	p.jobs = nil
	return jobs
}

func (p *pending) putBack(jobs []*job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jobs = append(jobs[:len(jobs):len(jobs)], p.jobs...)
}

// Apply implements [storage.Store]. It returns when the change is on disk and
// the subscribers have been notified.
//
// If the disk fails to sync, the outcome of this change is unknown, and the
// store accepts no further changes until it is opened again: after a failed
// fsync a later one may succeed without having written anything.
//
// A deleted key leaves an empty row. In the past Badger's compaction has lost
// tombstones and so brought back the older versions below them (its issue
// 2143), which could be one from before the revocation. An empty row is a
// version like any other. It takes as much space as the ID.
func (s *Store) Apply(ctx context.Context, c storage.Change) (revision uint64, err error) {
	if err := s.life.enter(ctx); err != nil {
		return 0, err
	}
	defer s.life.leave(&err)

	j := &job{ctx: ctx, change: c, done: make(chan struct{})}
	s.pending.add(j)
	for waiting := true; waiting; {
		select {
		case <-j.done:
			waiting = false
		case s.lead <- struct{}{}:
			s.commit(s.pending.takeAll())
			<-s.lead
		}
	}
	if j.err != nil {
		return 0, j.err
	}
	s.hub.Publish(j.notice)
	return j.notice.Revision, nil
}

// Announce implements [storage.Announcer].
func (s *Store) Announce(ctx context.Context, topic string) (err error) {
	if err := s.life.enter(ctx); err != nil {
		return err
	}
	defer s.life.leave(&err)
	s.hub.Publish(storage.Notice{ID: topic})
	return nil
}

// Subscribe implements [storage.Notifier].
func (s *Store) Subscribe(f func(storage.Notice)) (cancel func()) { return s.hub.Subscribe(f) }

// commit makes one transaction of the jobs and syncs it. Jobs that do not fit
// go back to the queue. Only the leader calls it.
func (s *Store) commit(jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	s.flow.Lock()
	defer s.flow.Unlock()
	txn := s.db.NewTransaction(true)
	defer txn.Discard()

	room, staged, bytes, err := s.room(), 0, int64(0), errors.Join(s.broken, s.reserve.lost())
	full := s.reserve.look()
	for i := 0; i < len(jobs) && err == nil; i++ {
		j := jobs[i]
		if full != nil && j.change.Expect == 0 {
			j.err = refusal(full)
			continue
		}
		var rows []row
		if rows, j.err = s.stage(txn, j); j.err != nil {
			continue
		}
		if !room.take(rows) {
			if staged > 0 {
				s.pending.putBack(jobs[i:])
				jobs = jobs[:i]
				break
			}
			j.err = tooLarge("Change", "does not fit one transaction")
			continue
		}
		s.seq++
		staged++
		bytes += rowBytes(rows)
		err = writeAll(txn, rows)
	}
	if err == nil && staged > 0 {
		err = s.reserve.write(bytes, true, func() error {
			if err := txn.Commit(); err != nil {
				return err
			}
			if err := s.sync(); err != nil {
				s.broken = fmt.Errorf("an fsync failed, no change is safe until the store is opened again: %w", err)
				return s.broken
			}
			return nil
		})
	}
	for _, j := range jobs {
		if j.err == nil && err != nil {
			j.err = fmt.Errorf("badgerstore: apply: %w", err)
		}
		close(j.done)
	}
}
