package apikey

import (
	"context"
	"time"
)

// writers is how many writes of usage a store is given at a time.
const writers = 2

// lane is a place for one write at a time.
type lane struct {
	state laneState
	keys  map[string][]UsageDelta // what is or was to be written; nil when the lane is free
	since time.Time               // of the state
}

type laneState uint8

const (
	laneFree    laneState = iota
	laneFailed            // the store did not take the keys, or nobody knows: still owed, and to be written again
	laneClaimed           // still owed; readers of the keys have to wait, until those that read them now are done
	laneWriting           // given to the store: no longer owed, and not known to be written
)

func (l *lane) blocks() bool { return l.state == laneClaimed || l.state == laneWriting }
func (l *lane) owes() bool   { return l.state == laneFailed || l.state == laneClaimed }

// begin returns a lane and the counts of up to n keys in it, which the store is
// to get now: those that it did not take before, then those that have waited
// longest and that nobody reads. It waits for other lanes, which may be free soon
// or have to be written again, and for those who read the keys, for no longer
// than patience. After it comes end, unless the lane is nil: then nothing is owed
// any more.
func (o *outbox) begin(ctx context.Context, n int, patience time.Duration) (l *lane, batch []UsageDelta, err error) {
	late := time.Now().Add(patience)
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.collected) >= collectEvery {
		o.collect() // a long flush writes what is new, too
	}
	var busy bool
	for l, busy = o.freeLane(); l == nil; l, busy = o.freeLane() {
		if !busy {
			return nil, nil, nil
		}
		if err := o.wait(ctx, late); err != nil {
			return nil, nil, err
		}
	}
	if l.state == laneFree {
		l.keys = o.take(n)
	}
	l.state, l.since = laneClaimed, time.Now()
	for o.beingRead(l.keys) {
		if err := o.wait(ctx, late); err != nil {
			l.state = laneFailed
			o.change()
			return nil, nil, err
		}
	}
	l.state, l.since = laneWriting, time.Now()
	for _, of := range l.keys {
		batch = append(batch, of...)
	}
	return l, batch, nil
}

// freeLane returns a lane that has something to write again, or could take what
// is in the queue: the one that has not been used for longest, so that keys that
// the store refuses keep no others waiting. It is nil when there is none, and
// busy says whether one is in use.
func (o *outbox) freeLane() (free *lane, busy bool) {
	for i := range o.lanes {
		l := &o.lanes[i]
		if l.blocks() {
			busy = true
			continue
		}
		if (l.state == laneFailed || len(o.queue) > 0) && (free == nil || l.since.Before(free.since)) {
			free = l
		}
	}
	return free, busy
}

// take takes up to n keys out of owed, at least one.
func (o *outbox) take(n int) map[string][]UsageDelta {
	keys := make(map[string][]UsageDelta, min(n, len(o.queue)))
	var passed []string
	at := 0
	for ; at < len(o.queue) && len(keys) < n; at++ {
		if id := o.queue[at]; o.allReaders > 0 || o.readers[id] > 0 {
			passed = append(passed, id)
		} else {
			keys[id] = o.owed[id]
		}
	}
	if len(keys) == 0 { // all are read: now it is the readers' turn to wait
		n = min(n, len(passed))
		for _, id := range passed[:n] {
			keys[id] = o.owed[id]
		}
		passed = passed[n:]
	}
	at -= copy(o.queue[at-len(passed):at], passed) // in place: the queue may be of all keys
	clear(o.queue[:at])
	o.queue = o.queue[at:]
	for id := range keys {
		delete(o.owed, id)
	}
	return keys
}

// beingRead reports whether somebody reads a key.
func (o *outbox) beingRead(keys map[string][]UsageDelta) bool {
	for id := range o.readers {
		if keys[id] != nil {
			return true
		}
	}
	return o.allReaders > 0
}

// end says whether the store took what begin chose. If not, it stays owed.
func (o *outbox) end(l *lane, taken bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.state, l.since = laneFailed, time.Now()
	if taken {
		for _, of := range l.keys {
			o.owing -= len(of)
		}
		l.state, l.keys = laneFree, nil
	}
	o.change()
}
