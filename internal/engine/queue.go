package engine

import (
	"sync"
	"time"
)

// readQueue carries reads of the store on behalf of requests. A service has
// two: one for keys that are in the cache but were made stale by a change, and
// one for ids that were never seen, which anybody can make up. Neither waits
// for the other.
//
// Its invariant: **a request waits for every load in a queue, and no more than
// mostWaiting requests wait.** A load whose requests have all gone is not
// begun. The load requested last is read first. When there is no room, the load
// whose last request is the oldest is refused. So when the store is overloaded,
// the requests that are answered are answered soon, and a key that is requested
// again has a new chance.
type readQueue struct {
	read   func(batch []*load) // from the store
	batch  int                 // how many to read at once
	most   int                 // how many reads run at the same time
	worker func(f func())      // runs f beside the caller

	mu          sync.Mutex
	first, last *load // not yet read
	waiting     int   // requests
	reading     int   // workers
}

// mostWaiting bounds the requests that wait in a queue.
const mostWaiting = 4096

// load is one read of the store on behalf of everybody who wants the same key
// now.
type load struct {
	id         keyID
	queue      *readQueue // nil on a store in this process, which the goroutine that began the load reads
	done       chan struct{}
	began      time.Duration // when the read began, since processStart
	era        uint32        // of the cache, before the read
	generation uint64        // of the plans, before the read
	overtaken  bool          // guarded by the shard
	snap       *snapshot     // nil with a nil err: no such key
	err        error

	// Guarded by the queue.
	next, prev *load
	queued     bool
	taken      bool // it is being read, or was
	shed       bool // it was dropped to make room: its requests are no longer counted
	waiting    int  // requests
}

// join counts a request that waits for l, and moves l to the front. It returns
// false if there is no room. A load that was dropped to make room is returned:
// it must be finished.
func (n *readQueue) join(l *load) (shed *load, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.shed {
		return nil, true // it will end at once
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

// leave stops counting a request that waits for l. It reports whether it was
// the last one, so that l will not be read.
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

// enter counts a request that waits for something other than a load, if there
// is room. The request must then call exit.
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

// work reads until nothing is waiting.
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
