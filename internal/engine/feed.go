package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/foreign"
	"github.com/wontopos/latchkey/internal/token"
	"github.com/wontopos/latchkey/storage"
)

// pollLimit is how many changes one poll returns at most.
const pollLimit = 1000

// poll reads the feed up to its head, applies what is new, and renews the
// lease, in that order. The caller has the turn.
func (l *lease) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(l.o.Length, l.eng.o.StoreTimeout))
	defer cancel()
	sent := time.Now()
	page, err := l.ask(ctx)
	if err != nil {
		return err
	}
	for target := page.Head; ; {
		before := l.position
		l.apply(&page)
		target = min(target, page.Head) // the head may go back meanwhile
		if l.position >= target {
			break
		}
		if l.position == before {
			return l.fail(fmt.Errorf("the feed has nothing after position %d, and its head is %d", before, page.Head))
		}
		if page, err = l.ask(ctx); err != nil {
			return err
		}
	}
	l.extend(sent)
	l.recheck(ctx, sent)
	if len(l.behind) == 0 && l.acked != l.position {
		l.acked = l.position
		l.delays.tell()
		if page, err = l.ask(ctx); err != nil { // tell the others now
			return err
		}
		l.apply(&page) // the next poll extends the lease for newer changes
		if l.acked != l.position {
			l.hint() // and acknowledges them: this poll may have consumed the hint about them
		}
	}
	l.report(&page)
	return nil
}

func (l *lease) ask(ctx context.Context) (storage.FeedPage, error) {
	l.asked = time.Now()
	q := storage.FeedQuery{Instance: l.o.Instance, Acked: l.acked, Epoch: l.epoch, Lease: l.length(), After: l.position, Limit: pollLimit}
	page, err := foreign.Call(ctx, l.callee, func(ctx context.Context) (storage.FeedPage, error) { return l.feed.Poll(ctx, q) })
	select {
	case l.seen <- struct{}{}:
	default:
	}
	return page, l.fail(err)
}

// fail records why a poll failed, if it did.
func (l *lease) fail(err error) error {
	if err != nil && l.eng.stopped.Err() == nil {
		l.failed.Store(true)
		l.eng.complain("the changes of other processes cannot be read", "error", err)
		l.mu.Lock()
		l.health.Error = err.Error()
		l.mu.Unlock()
	}
	return err
}

// apply applies one page.
func (l *lease) apply(page *storage.FeedPage) {
	switch {
	case l.epoch == "": // the first: nothing is cached yet
		l.epoch, l.position = page.Epoch, page.Head
		return
	case page.Epoch != l.epoch || page.Head < l.position || page.Truncated:
		l.startOver(page)
		return
	}
	for i := range page.Changes {
		c := &page.Changes[i]
		l.position = c.Position
		l.delays.add(l.asked, c.Age)
		if l.eng.changed(c.Notice) {
			l.behind[c.ID] = true
		}
	}
	if len(page.Changes) == 0 {
		l.position = page.Head // no changes in between
	}
}

// startOver drops everything, because the feed does not say what changed: the
// store was restored, or a failover lost writes. Revocations made by this
// process are made again.
func (l *lease) startOver(page *storage.FeedPage) {
	if page.Epoch != l.epoch || page.Head < l.position {
		l.eng.o.Log.Error("the store has lost changes: everything cached is read again, and revocations of this process are made again",
			"epoch", page.Epoch, "epoch_before", l.epoch, "head", page.Head, "position", l.position)
		l.mu.Lock()
		ids := slices.Collect(maps.Keys(l.revoked))
		l.mu.Unlock()
		l.eng.workers.Go(func() { l.reassert(ids) })
	}
	l.delays.forget()
	for _, id := range l.eng.cache.flush() {
		l.behind[id] = true
	}
	l.epoch, l.position = page.Epoch, page.Head
}

// How many of its own revocations a process remembers, and for how long.
const (
	mostRevoked = 1 << 14
	revokedFor  = time.Hour
)

// remember records that a key was revoked here.
func (l *lease) remember(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Now()
	if len(l.revoked) >= mostRevoked {
		maps.DeleteFunc(l.revoked, func(_ string, t time.Time) bool { return at.Sub(t) > revokedFor })
	}
	if len(l.revoked) < mostRevoked {
		l.revoked[id] = at
	}
}

// reassert revokes keys again whose revocation the store has lost, a few at a
// time. It continues until the store has accepted them all.
func (l *lease) reassert(ids []string) {
	const writers = 8
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			for at := i; at < len(ids); at += writers {
				l.revokeAgain(ids[at])
			}
		})
	}
	group.Wait()
}

func (l *lease) revokeAgain(id string) {
	for {
		err := l.eng.o.RevokeAgain(l.eng.stopped, id)
		if err == nil || errors.Is(err, apikey.NotFound) || l.eng.stopped.Err() != nil {
			return // not found: the store has lost the key as well
		}
		l.eng.complain("a key whose revocation the store has lost could not be revoked again; this goes on until it is", "key", id, "error", err)
		select {
		case <-time.After(l.o.Every):
		case <-l.eng.stopped.Done():
			return
		}
	}
}

// recheck reads the keys that have changed while they have requests in flight,
// so that those are judged by the new state. A key that cannot be read now is
// tried again at the next poll; until then the change is not acknowledged. That
// poll comes in time whether or not the store answers: the lease lasts three
// times as long as recheck waits.
func (l *lease) recheck(ctx context.Context, sent time.Time) {
	const readers = 8
	ctx, cancel := context.WithDeadline(ctx, sent.Add(l.o.Length/3))
	defer cancel()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		todo  = make(chan string)
	)
	for range min(readers, len(l.behind)) {
		group.Go(func() {
			for id := range todo {
				if l.eng.reread(ctx, id) {
					mu.Lock()
					delete(l.behind, id)
					mu.Unlock()
				}
			}
		})
	}
	mu.Lock()
	ids := make([]string, 0, len(l.behind))
	for id := range l.behind {
		ids = append(ids, id)
	}
	mu.Unlock()
	for _, id := range ids {
		todo <- id
	}
	close(todo)
	group.Wait()
}

// changed applies a change of which only the revision is known, and reports
// whether there are requests in flight that must be judged by it.
func (eng *Engine) changed(n storage.Notice) (behind bool) {
	e := eng.invalidate(n)
	if e == nil {
		return false
	}
	if n.Deleted {
		eng.cutFlights(e, func(*Flight) apikey.Code { return apikey.RevokedKey })
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.first != nil && older(e.era, e.key.Revision, eng.cache.era.Load(), n.Revision)
}

// reread loads a key for its requests in flight; false if it could not be read.
func (eng *Engine) reread(ctx context.Context, id string) bool {
	if len(id) != token.IDLen {
		return true
	}
	snap, err := eng.loadInside(ctx, keyID([]byte(id)), nil, eng.known)
	switch {
	case err != nil:
		return false
	case snap == nil: // the key is gone
		eng.Notice(storage.Notice{ID: id, Deleted: true})
	default:
		eng.rejudge(snap.current.entry, &snap.key, snap.era)
	}
	return true
}

// settle waits until every live process has applied a committed change, or can
// no longer trust what it had before. It returns early only with an error.
func (l *lease) settle(ctx context.Context) error {
	deadline := time.Now().Add(l.length())
	waiting, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	target, pause := uint64(0), time.Millisecond
	for waiting.Err() == nil {
		if Await(waiting, l.turn) != nil {
			break
		}
		if p := l.pollFor(waiting); p.err == nil {
			if target == 0 || p.position < target { // the store may have lost the change
				target = p.position
			}
			if p.acked >= target {
				return nil
			}
		}
		select {
		case <-time.After(pause):
		case <-waiting.Done():
		}
		pause = min(2*pause, 50*time.Millisecond)
	}
	if time.Now().Before(deadline) {
		return ctx.Err()
	}
	return nil
}

// polled is the result of a poll, and what it found.
type polled struct {
	err             error
	position, acked uint64
}

// pollFor polls for a caller that waits until ctx ends. It takes over the
// caller's turn. Others wait for the poll, too, so it goes on without the
// caller.
func (l *lease) pollFor(ctx context.Context) polled {
	done := make(chan polled, 1)
	l.eng.workers.Go(func() {
		p := polled{err: l.poll(context.WithoutCancel(ctx))}
		p.position, p.acked = l.position, l.health.Acked
		l.turn <- struct{}{}
		done <- p
	})
	select {
	case p := <-done:
		return p
	case <-ctx.Done():
		return polled{err: ctx.Err()}
	}
}

// FeedState is what the last good poll found.
type FeedState struct {
	Position, Acked uint64 // how far this process has applied the feed, and how far all have
	Instances       int    // that share the store
	Error           string // why the last poll failed; empty if it did not
}

// report records what a good poll returned. The caller has the turn.
func (l *lease) report(page *storage.FeedPage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health = FeedState{Position: l.position, Acked: page.Acked, Instances: page.Alive}
}
