package latchkey

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/wontopos/latchkey/storage"
)

// writers is how many writes of usage a store is given at a time.
const writers = 2

// lane is a place for one write at a time.
type lane struct {
	state laneState
	keys  map[string][]storage.UsageDelta // what is to be written, or is being written
	since time.Time                       // of the state
	retry retry                           // the set that the keys come from; zero if they come from the queue
}

type laneState uint8

const (
	laneFree    laneState = iota
	laneClaimed           // still owed; new readers of the keys wait, the lane waits for those that read them now
	laneWriting           // given to the store: no longer owed, and not known to be written
)

func (l *lane) blocks() bool { return l.state != laneFree }
func (l *lane) owes() bool   { return l.state == laneClaimed }

// retry is a set of keys whose write failed, or has an unknown outcome. The keys are owed. A set that fails is halved, so
// that a key that the store always refuses ends up alone and holds up no others.
type retry struct {
	keys     []string
	failures int       // since it was halved
	written  uint64    // outbox.written at the last failure
	after    time.Time // no flush but the last tries it sooner
}

const (
	retryPause     = time.Second // after the first failure; doubles each time, up to
	longRetryPause = time.Minute
)

// begin returns a lane and the counts of up to n keys in it, to be given to the
// store now: a set that is to be tried again, or the keys that have waited
// longest, except those that are being read. The two take turns. It waits for a
// free lane and for readers of the keys, but no longer than patience. The caller
// must call end, unless the lane is nil: then nothing is left to write, or, if
// this is not the last flush, only sets whose time has not come.
func (o *outbox) begin(ctx context.Context, n int, last bool, patience time.Duration) (l *lane, batch []storage.UsageDelta, err error) {
	late := time.Now().Add(patience)
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.collected) >= collectEvery {
		o.collect() // a long flush writes what is new, too
	}
	for l = o.fill(n, last); l == nil; l = o.fill(n, last) {
		if _, busy := o.clash(nil); !busy {
			return nil, nil, nil
		}
		if err := o.wait(ctx, late); err != nil {
			return nil, nil, err
		}
	}
	for o.beingRead(l.keys) {
		if err := o.wait(ctx, late); err != nil {
			o.giveBack(l, false)
			return nil, nil, err
		}
	}
	l.state, l.since = laneWriting, time.Now()
	for _, of := range l.keys {
		batch = append(batch, of...)
	}
	return l, batch, nil
}

// fill claims a free lane for what is to be written next; nil if there is none, or nothing to write.
func (o *outbox) fill(n int, last bool) *lane {
	free := slices.IndexFunc(o.lanes[:], func(l lane) bool { return l.state == laneFree })
	if free < 0 {
		return nil
	}
	l := &o.lanes[free]
	l.keys, l.retry = nil, retry{}
	if !o.again {
		l.keys = o.take(n)
	}
	if len(l.keys) == 0 {
		o.takeRetry(l, last)
	}
	if len(l.keys) == 0 { // it was the turn of the retries, and none is due
		l.keys = o.take(n)
	}
	if len(l.keys) == 0 {
		return nil
	}
	o.again = !o.again
	l.state, l.since = laneClaimed, time.Now()
	return l
}

// takeRetry moves the first set that is due into a lane.
func (o *outbox) takeRetry(l *lane, last bool) {
	now := time.Now()
	next := slices.IndexFunc(o.retries, func(r retry) bool { return last || !now.Before(r.after) })
	if next < 0 {
		return
	}
	l.retry = o.retries[next]
	o.retries = slices.Delete(o.retries, next, next+1)
	l.keys = make(map[string][]storage.UsageDelta, len(l.retry.keys))
	for _, id := range l.retry.keys {
		l.keys[id] = o.owed[id]
		delete(o.owed, id)
		delete(o.suspect, id)
	}
}

// take removes up to n keys from the queue and from owed, at least one if there is any.
func (o *outbox) take(n int) map[string][]storage.UsageDelta {
	keys := make(map[string][]storage.UsageDelta, min(n, len(o.queue)))
	var passed []string
	at := 0
	for ; at < len(o.queue) && len(keys) < n; at++ {
		switch id := o.queue[at]; {
		case o.suspect[id]: // it is written with its set
		case o.allReaders > 0 || o.readers[id] > 0:
			passed = append(passed, id)
		default:
			keys[id] = o.owed[id]
		}
	}
	if len(keys) == 0 { // all are being read: now it is the readers' turn to wait
		n = min(n, len(passed))
		for _, id := range passed[:n] {
			keys[id] = o.owed[id]
		}
		passed = passed[n:]
	}
	at -= copy(o.queue[at-len(passed):at], passed) // in place: the queue may hold all keys
	clear(o.queue[:at])
	o.queue = o.queue[at:]
	for id := range keys {
		delete(o.owed, id)
	}
	return keys
}

// beingRead reports whether somebody reads a key.
func (o *outbox) beingRead(keys map[string][]storage.UsageDelta) bool {
	for id := range o.readers {
		if keys[id] != nil {
			return true
		}
	}
	return o.allReaders > 0
}

// end records whether the store took what begin chose. If not, it stays owed.
func (o *outbox) end(l *lane, taken bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !taken {
		o.giveBack(l, true)
		return
	}
	for _, of := range l.keys {
		o.owing -= len(of)
	}
	o.written++
	l.state, l.keys = laneFree, nil
	o.change()
}

// giveBack makes the keys of a lane owed again, to be tried again as one set, or
// as two halves if they failed.
func (o *outbox) giveBack(l *lane, failed bool) {
	r := l.retry
	r.keys = slices.Collect(maps.Keys(l.keys))
	for id, of := range l.keys {
		for _, d := range of {
			if addTo(o.owed[id], d) { // it was counted again meanwhile
				o.owing--
			} else {
				o.owed[id] = append(o.owed[id], d)
			}
		}
		o.suspect[id] = true
	}
	if failed {
		r.failures++
		r.after = time.Now().Add(min(retryPause<<min(r.failures-1, 8), longRetryPause))
	}
	// While the store takes nothing, small sets stay whole: writing them one key at a time would take long afterwards.
	apart := len(r.keys) > fewestKeys || len(r.keys) > 1 && (r.failures > 1 || l.retry.keys != nil && o.written > r.written)
	r.written = o.written
	if half := len(r.keys) / 2; failed && apart {
		o.retries = append(o.retries, retry{keys: r.keys[:half], written: r.written, after: r.after}, retry{keys: r.keys[half:], written: r.written, after: r.after})
	} else {
		o.retries = append(o.retries, r)
	}
	l.state, l.keys = laneFree, nil
	o.change()
}
