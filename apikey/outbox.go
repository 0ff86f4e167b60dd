package apikey

import (
	"sync"
	"time"
)

// outbox holds the usage that was counted and that the store is yet to get. Usage
// as it is told is what the store has and what is owed to it, together, and so
// one thing must hold: no key is read and written at the same time. Who reads
// keys finds their counts in the store or here, never in both and never in
// neither, and waits for no more than the keys that are being written.
type outbox struct {
	meter *meter

	mu         sync.Mutex
	ended      sync.Cond               // a reader or a writer is done
	owed       map[string][]UsageDelta // by key
	writing    map[string][]UsageDelta // what the store is given now; nil while it is given nothing
	readers    map[string]int          // of each key that is read from the store now
	allReaders int                     // of those who read any key
	owing      int                     // deltas in owed and writing
	collected  time.Time               // when the counts were last fetched
}

// maxOwed bounds what is kept for a store that does not take usage.
const maxOwed = 1 << 20

func newOutbox(m *meter) *outbox {
	o := &outbox{meter: m, owed: make(map[string][]UsageDelta), readers: make(map[string]int)}
	o.ended.L = &o.mu
	return o
}

// collect fetches what was counted; the caller holds mu.
func (o *outbox) collect() {
	o.collected = time.Now()
	o.meter.collect(func(d UsageDelta) {
		if of := o.owed[d.KeyID]; !addTo(of, d) && o.owing < maxOwed { // else the store has not taken usage for long: flushLoop says so
			o.owed[d.KeyID] = append(of, d)
			o.owing++
		}
	})
}

// keys collects, and returns how many keys the store is to get the counts of.
func (o *outbox) keys() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.collect()
	return len(o.owed)
}

// addTo adds to what is there of the same secret and hour, if anything is.
func addTo(of []UsageDelta, d UsageDelta) bool {
	for i := range of {
		if of[i].Secret == d.Secret && of[i].Hour.Equal(d.Hour) {
			of[i].add(d)
			return true
		}
	}
	return false
}

// read calls f to read keys, or any key if ids is nil, from the store. What owed
// adds to it makes together all that was counted until age ago, and maybe some of
// what came later. Nothing is written for it: reading does not become writing.
func (o *outbox) read(ids []string, age time.Duration, f func(owed func(id string) []UsageDelta) error) error {
	o.mu.Lock()
	if time.Since(o.collected) >= age {
		o.collect()
	}
	for o.clash(ids) {
		o.ended.Wait()
	}
	o.hold(ids, 1)
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.hold(ids, -1)
		o.ended.Broadcast()
	}()
	return f(func(id string) []UsageDelta {
		o.mu.Lock()
		defer o.mu.Unlock()
		return append([]UsageDelta(nil), o.owed[id]...)
	})
}

// clash reports whether one of the keys is being written.
func (o *outbox) clash(ids []string) bool {
	for _, id := range ids {
		if _, ok := o.writing[id]; ok {
			return true
		}
	}
	return ids == nil && o.writing != nil
}

// hold counts a reader in or out.
func (o *outbox) hold(ids []string, n int) {
	if ids == nil {
		o.allReaders += n
	}
	for _, id := range ids {
		if o.readers[id] += n; o.readers[id] == 0 {
			delete(o.readers, id)
		}
	}
}

// begin returns the counts of up to n keys, which the store is to get now, once
// nobody reads them. After it comes end, unless there is nothing to write.
func (o *outbox) begin(n int) (batch []UsageDelta) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.writing != nil { // one at a time
		o.ended.Wait()
	}
	if len(o.owed) == 0 {
		return nil
	}
	o.writing = make(map[string][]UsageDelta, n) // from here on, whoever wants to read them waits
	for id := range o.owed {
		if o.writing[id] = nil; len(o.writing) == n {
			break
		}
	}
	for o.beingRead() {
		o.ended.Wait()
	}
	for id := range o.writing {
		o.writing[id], batch = o.owed[id], append(batch, o.owed[id]...)
		delete(o.owed, id)
	}
	return batch
}

// beingRead reports whether somebody still reads a key that is to be written.
func (o *outbox) beingRead() bool {
	for id := range o.writing {
		if o.readers[id] > 0 {
			return true
		}
	}
	return o.allReaders > 0
}

// end says whether the store took what begin chose. If not, it stays owed.
func (o *outbox) end(taken bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, of := range o.writing {
		if taken {
			o.owing -= len(of)
			continue
		}
		for _, d := range o.owed[id] {
			if addTo(of, d) {
				o.owing--
			} else {
				of = append(of, d)
			}
		}
		o.owed[id] = of
	}
	o.writing = nil
	o.ended.Broadcast()
}
