package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

const (
	// maxLoads bounds how often one request reads a key that keeps changing.
	maxLoads = 16

	// How many ids are read at once, and how many such reads run in a queue. A
	// store that reads one id at a time gets more concurrent reads.
	mostBatch   = 256
	batchReads  = 2
	singleReads = 16
	// How many records of a batch are compiled at the same time: a [apikey.PlanSource]
	// may have to make a call.
	compilers = 8
)

// openQueues makes the queues to a store that is not in this process.
func (eng *Engine) openQueues() {
	queue := func() *readQueue {
		n := &readQueue{batch: 1, most: singleReads, read: eng.readAll, worker: eng.workers.Go}
		if eng.store.Batches() {
			n.batch, n.most = mostBatch, batchReads
		}
		return n
	}
	eng.known, eng.strangers = queue(), queue()
}

// queueOf returns the queue for reads of an id; nil on a store in this process,
// which is quick, so nothing waits there.
func (eng *Engine) queueOf(id string) *readQueue {
	if eng.strangers != nil && eng.cache.entry(id) == nil {
		return eng.strangers
	}
	return eng.known
}

// load reads a key from the store into the cache, once for everybody who waits.
// It returns a nil snapshot for a key that does not exist. The snapshot old,
// which may be nil, is not good enough. load waits no longer than
// [Options.StoreTimeout], and not at all if too many requests already wait.
func (eng *Engine) load(ctx context.Context, id keyID, old *snapshot, n *readQueue) (*snapshot, error) {
	if err := eng.Enter(); err != nil {
		return nil, err
	}
	defer eng.Leave()
	return eng.loadInside(ctx, id, old, n)
}

// loadInside is load for an operation that has entered, and for a goroutine
// that Close waits for: it works even after a Close has begun.
func (eng *Engine) loadInside(ctx context.Context, id keyID, old *snapshot, n *readQueue) (*snapshot, error) {
	came := time.Since(processStart)
	var late <-chan time.Time
	for range maxLoads {
		snap, l, left := eng.cache.begin(id, old, eng.planGeneration.Load(), n)
		switch {
		case snap != nil:
			return snap, nil
		case l == nil:
			eng.tooMany()
			return nil, apikey.Unavailable
		case l == left: // a store in this process, read by whoever comes first
			eng.read(l)
		case left != nil:
			eng.tooMany()
			eng.cache.finish(left, nil, apikey.Unavailable)
		}
		if l != left && late == nil {
			patience := time.NewTimer(eng.o.StoreTimeout)
			defer patience.Stop()
			late = patience.C
		}
		select {
		case <-l.done:
			eng.cache.leave(l)
		case <-ctx.Done():
			eng.cache.leave(l)
			return nil, ctx.Err()
		case <-late:
			eng.cache.leave(l)
			return nil, apikey.Unavailable
		}
		// If other processes create keys, only a read that began after the request
		// came can tell that a key does not exist.
		if !l.overtaken && (l.snap != nil || l.err != nil || l.began >= came || eng.lease == nil) {
			return l.snap, l.err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return nil, apikey.Unavailable
}

// tooMany logs that requests are refused because too many are waiting.
func (eng *Engine) tooMany() {
	eng.warnThrottled("more keys are asked for than the store can read: of those that are not in memory, some are answered with 503",
		"waiting", mostWaiting)
}

// read reads the record of one load.
func (eng *Engine) read(l *load) {
	ctx, cancel := context.WithTimeout(context.Background(), eng.o.StoreTimeout) // not a request's context: others wait, too
	defer cancel()
	eng.loads.Add(1)
	r, err := eng.store.GetAlone(ctx, l.id.String())
	eng.finish(ctx, l, r, err)
}

// readAll reads the records of loads that their queue has combined.
func (eng *Engine) readAll(loads []*load) {
	if !eng.store.Batches() {
		eng.read(loads[0])
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), eng.o.StoreTimeout)
	defer cancel()
	eng.loads.Add(uint64(len(loads)))
	ids := make([]string, len(loads))
	for i, l := range loads {
		ids[i] = l.id.String()
	}
	records, errs := eng.store.GetBatch(ctx, ids)
	var found []int
	for i, l := range loads {
		if errs[i] == nil {
			found = append(found, i)
			continue
		}
		eng.finish(ctx, l, storage.Record{}, errs[i])
	}
	var group sync.WaitGroup
	for w := range min(compilers, len(found)) {
		group.Go(func() {
			for i := w; i < len(found); i += compilers {
				eng.finish(ctx, loads[found[i]], records[found[i]], nil)
			}
		})
	}
	group.Wait()
}

// finish ends a load with the store's answer for its id.
func (eng *Engine) finish(ctx context.Context, l *load, r storage.Record, err error) {
	var snap *snapshot
	switch {
	case err == nil && r.Key.ID != l.id.String():
		err = fmt.Errorf("the store answered with another key, %q", r.Key.ID)
	case err == nil:
		snap, err = eng.compile(ctx, r, l.began)
	case errors.Is(err, apikey.NotFound):
		err = nil
	}
	if err != nil {
		eng.complain("a key cannot be read", "key", l.id, "error", err)
		snap, err = nil, apikey.Unavailable
	}
	eng.cache.finish(l, snap, err)
	switch {
	case l.overtaken || err != nil:
	case snap != nil:
		eng.rejudge(snap.current.entry, &snap.key, snap.era) // the change was not announced
	case !eng.synchronous && eng.cache.has(l.id):
		eng.Notice(storage.Notice{ID: l.id.String(), Deleted: true})
	}
}
