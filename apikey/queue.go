package apikey

import (
	"sync"
	"time"
)

// readQueue is a way to the store for reads on behalf of requests. A service has two:
// one for keys that are in the cache, which a change made unfit, and one for ids
// that were never seen, which anybody can make up. Neither waits for the other.
//
// Its invariant: **what waits in a queue is waited for by a request, and no more
// than mostWaiting requests wait.** A load whose requests have all gone is not
// begun. The one that was asked for last is read first, and when there is no
// room the one that nobody has asked for the longest is refused: under more than
// the store can answer, those that are answered are answered soon, and a key
// that is asked for again has a new chance.
type readQueue struct {
	read   func(batch []*load) // from the store
	batch  int                 // how many at a time
	most   int                 // reads at the same time
	worker func(f func())      // runs f beside the caller

	mu          sync.Mutex
	first, last *load // to be read
	waiting     int   // requests
	reading     int   // workers
}

// mostWaiting bounds the requests that wait in a queue.
const mostWaiting = 4096

// load is one read of the store on behalf of all who want the same key now.
type load struct {
	id        keyID
	queue     *readQueue // nil on a store in this process, which is read where the load began
	done      chan struct{}
	began     time.Duration // when the read did, since processStart
	era       uint32        // of the cache, before the read
	overtaken bool          // guarded by the shard
	snap      *snapshot     // nil with a nil err: no such key
	err       error

	// Guarded by the queue.
	next, prev *load
	queued     bool
	taken      bool // it is being read, or was
	shed       bool // it made room: who waited is not counted any more
	waiting    int  // requests
}

// join counts in a request that waits for l, and has l read before the others.
// It is false when there is no room. A load that made room is returned: it must
// be finished.
func (n *readQueue) join(l *load) (shed *load, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.shed {
		return nil, true // it is done at once
	}
	if n.waiting >= mostWaiting {
		if shed = n.last; shed == l {
			shed = l.prev
		}
		if shed == nil {
			return nil, false
		}
		n.unlink(shed)
		n.waiting -= shed.waiting
		shed.waiting, shed.shed = 0, true
	}
	l.waiting++
	n.waiting++
	if l.taken {
		return shed, true
	}
	if l.queued {
		n.unlink(l)
	}
	n.push(l)
	if n.reading < n.most {
		n.reading++
		n.worker(n.work)
	}
	return shed, true
}

// leave counts a request out. It reports whether that was the last one, so that
// l is not going to be read.
func (n *readQueue) leave(l *load) (unwanted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.shed {
		return false
	}
	l.waiting--
	n.waiting--
	if unwanted = l.waiting == 0 && l.queued; unwanted {
		n.unlink(l)
	}
	return unwanted
}

// enter counts in a request that waits for something other than a load, if there
// is room. After it comes exit.
func (n *readQueue) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.waiting >= mostWaiting {
		return false
	}
	n.waiting++
	return true
}

func (n *readQueue) exit() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting--
}

// work reads until nothing waits.
func (n *readQueue) work() {
	for batch := n.take(); batch != nil; batch = n.take() {
		n.read(batch)
	}
}

func (n *readQueue) take() (batch []*load) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.first != nil && len(batch) < n.batch {
		l := n.first
		n.unlink(l)
		l.taken, l.began = true, time.Since(processStart)
		batch = append(batch, l)
	}
	if batch == nil {
		n.reading--
	}
	return batch
}

func (n *readQueue) push(l *load) {
	l.queued = true
	if l.next = n.first; l.next != nil {
		l.next.prev = l
	} else {
		n.last = l
	}
	n.first = l
}

func (n *readQueue) unlink(l *load) {
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		n.first = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		n.last = l.prev
	}
	l.next, l.prev, l.queued = nil, nil, false
}
