// Package engine is the half of a service that every request meets: the table of keys in use, their loading, how fresh
// they are, the decision about a token, the requests in flight, and the counts of what was used. What changes keys is in
// the root package, which tells the engine of each change.
//
// A request meets the files in this order: verify.go, table.go, record.go, and flight.go; count.go when it has been
// decided. Only a key that is not in the table takes it to load.go and queue.go, and only a lease that has ended to
// lease.go and feed.go.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/internal/foreign"
	"github.com/wontopos/latchkey/internal/token"
	"github.com/wontopos/latchkey/storage"
)

// Engine authenticates tokens. All methods may be called concurrently. [New]
// makes one, Close ends it.
type Engine struct {
	o      Options
	store  foreign.Store
	format *token.Format
	digest *token.Digester
	cache  *cache
	lease  *lease // nil on a store that only one process uses
	terms  termsTable
	meter  meter
	jobs   chan Job

	cutters *foreign.Callee // of requests in flight

	attached atomic.Bool // somebody uses the keys' attachments

	known     *readQueue   // to the store, for keys that are in the cache
	strangers *readQueue   // for ids that were never seen; both are nil on a store in this process
	rereads   atomic.Int32 // requests in awaitReread
	loads     atomic.Uint64

	notifier       storage.Notifier  // nil unless synchronous
	announcer      storage.Announcer // nil on a store that cannot announce
	synchronous    bool              // the store announces every change
	planGeneration atomic.Uint64     // incremented by RefreshPlans; snapshots of an older one are loaded again

	gate    *gate // every operation passes it; Close waits until it is empty
	closed  atomic.Bool
	idling  sync.Once
	idle    chan struct{} // closed when the operations and the goroutines have ended
	left    sync.Once
	moaned  atomic.Int64 // when Complain last logged, in seconds
	warned  atomic.Int64 // when warnThrottled last did
	cancel  func()       // ends the subscription to the store
	stop    context.CancelFunc
	stopped context.Context
	workers sync.WaitGroup
}

// Options are what an Engine works with; the caller has checked them.
type Options struct {
	Environments []apikey.Environment
	Plans        apikey.PlanSource
	CacheSize    int
	MaxStale     time.Duration
	StoreTimeout time.Duration
	Lease        Lease
	Log          *slog.Logger
	// Redact removes the secrets from a text.
	Redact func(string) string
	// RevokeAgain revokes a key whose revocation the store has lost.
	RevokeAgain func(ctx context.Context, id string) error
}

// Of and InQuestion give the packages of this module what the root package does
// not show: the engine of a *latchkey.Service, and the key that a
// *latchkey.Explanation is about; zero if it is not known. The root package sets
// them.
var (
	Of         func(service any) *Engine
	InQuestion func(explanation any) Verified
)

// New returns an engine that does nothing yet: see [Engine.Start].
func New(inner storage.Store, store foreign.Store, format *token.Format, digest *token.Digester, o Options) (*Engine, error) {
	eng := &Engine{
		o: o, store: store, format: format, digest: digest,
		jobs: make(chan Job, 256), cutters: &foreign.Callee{Name: "a Cutter", Log: o.Log}, gate: newGate(), idle: make(chan struct{}), cancel: func() {},
	}
	feed, shared := storage.As[storage.Feed](inner)
	eng.notifier, eng.synchronous = storage.As[storage.Notifier](inner)
	eng.announcer, _ = storage.As[storage.Announcer](inner)
	shared = shared && !eng.synchronous
	var stale time.Duration
	if !eng.synchronous && !shared {
		if stale = o.MaxStale; stale <= 0 {
			return nil, faults.Invalid("Options.MaxStale", "this store does not report changes: say how long a key may be trusted without asking again")
		}
	}
	eng.cache = newCache(o.CacheSize, stale)
	eng.cache.shared = shared
	if !eng.synchronous {
		eng.openQueues()
	}
	eng.stopped, eng.stop = context.WithCancel(context.Background())
	if shared {
		eng.lease = newLease(eng, feed, o.Lease)
	}
	return eng, nil
}

// Start makes the engine follow the changes of its store. It waits until the
// store has answered once, but no longer than [Options.StoreTimeout].
func (eng *Engine) Start() error {
	if eng.synchronous {
		if err := eng.store.Safely(func() error { eng.cancel = eng.notifier.Subscribe(eng.Notice); return nil }); err != nil {
			eng.stop()
			return faults.Unavailable("subscribe", err)
		}
	}
	if eng.lease != nil {
		eng.lease.begin()
	}
	return nil
}

// Synchronous reports whether the store announces every change itself.
func (eng *Engine) Synchronous() bool { return eng.synchronous }

// Enter makes Close wait until Leave is called. It never waits itself, and
// operations may nest. After Close it returns [apikey.Closed].
func (eng *Engine) Enter() error {
	if !eng.gate.enter() {
		return apikey.Closed
	}
	return nil
}

// Leave ends an operation.
func (eng *Engine) Leave() { eng.gate.leave() }

// Go runs f in a goroutine that Close waits for. f ends when Stopped does.
func (eng *Engine) Go(f func()) { eng.workers.Go(f) }

// Stopped is a context that ends with Close.
func (eng *Engine) Stopped() context.Context { return eng.stopped }

// Closed reports whether Close has begun.
func (eng *Engine) Closed() bool { return eng.closed.Load() }

// Shut refuses new operations and stops the goroutines. The channel is closed
// when all of both have ended. Shutting again does nothing.
func (eng *Engine) Shut() (idle <-chan struct{}) {
	eng.closed.Store(true)
	eng.gate.close()
	eng.stop()
	eng.idling.Do(func() {
		go func() {
			<-eng.gate.empty
			eng.workers.Wait()
			close(eng.idle)
		}()
	})
	return eng.idle
}

// leavePatience is how long LeaveOthers tries to tell the other processes.
const leavePatience = time.Second

// LeaveOthers ends what others do for this engine, once it is idle: the store
// need not announce changes, nor other processes wait for this one.
func (eng *Engine) LeaveOthers(ctx context.Context) {
	eng.left.Do(func() {
		eng.cache.stopTimers()
		ctx, cancel := context.WithTimeout(ctx, leavePatience)
		defer cancel()
		gone := make(chan struct{})
		go func() { // the store may ignore ctx
			defer close(gone)
			_ = eng.store.Safely(func() error {
				eng.cancel()
				if eng.lease != nil {
					eng.lease.leave(ctx)
				}
				return nil
			})
		}()
		_ = Await(ctx, gone)
	})
}

// Health is the state of an engine.
type Health struct {
	FeedState
	Ready  bool
	Push   bool
	Left   time.Duration // until the lease ends
	Age    time.Duration // of the lease: since the last good poll was sent
	Cached int
	Loads  uint64
}

// Health returns what the last good poll found, when the lease ends, and what
// the engine holds. On a store without a feed nothing is known of the former,
// and Ready only says that the engine is not closed.
func (eng *Engine) Health() (h Health) {
	h.Ready, h.Loads = !eng.closed.Load(), eng.loads.Load()
	h.Cached = eng.cache.size()
	l := eng.lease
	if l == nil {
		return h
	}
	at := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	since, end := at.Sub(processStart), time.Duration(l.until.Load().mono)
	h.FeedState, h.Push, h.Ready = l.health, l.push.Load(), h.Ready && l.holds(at)
	h.Left, h.Age = end-since, since
	if end != 0 { // a poll has succeeded
		h.Age -= end - l.length()
	}
	return h
}

// RefreshPlans makes every key's limits be looked up again at its next request,
// here and in all processes that share the store.
func (eng *Engine) RefreshPlans(ctx context.Context) error {
	eng.planGeneration.Add(1)
	if eng.announcer == nil {
		if eng.lease != nil {
			return errors.New("this store cannot tell other processes: it is a Feed and no Announcer")
		}
		return nil
	}
	_, err := foreign.Patiently(ctx, eng.store.Callee, foreign.ChangePatience*eng.o.StoreTimeout, func(ctx context.Context) (none struct{}, err error) {
		return none, eng.announcer.Announce(ctx, topicPlans)
	})
	if err != nil || eng.lease == nil || eng.lease.o.Async {
		return err
	}
	return eng.lease.settle(ctx)
}

// PlanGeneration counts the refreshes of plans: what was looked up at an earlier
// one is to be looked up again.
func (eng *Engine) PlanGeneration() uint64 { return eng.planGeneration.Load() }

// PatientPlans is a source with the deadline of [Options] for each of its calls.
// name is what errors and the log call it.
func (eng *Engine) PatientPlans(source apikey.PlanSource, name string) apikey.PlanSource {
	return foreign.Plans(source, name, eng.o.StoreTimeout, eng.o.Log)
}

// topicPlans is announced when plans have changed.
const topicPlans = "plans"

// Settle waits until a change of a key is in force everywhere: a change that is
// waited for, on a store that processes share. It also remembers that a key was
// revoked here, so that a store that loses the revocation gets it again. The
// error says that the change is written, but that some processes may not have
// it yet.
func (eng *Engine) Settle(ctx context.Context, k *apikey.Key, wait bool) error {
	if eng.lease == nil {
		return nil
	}
	if !k.RevokedAt.IsZero() {
		eng.lease.remember(k.ID)
	}
	if eng.lease.o.Async || !wait {
		return nil
	}
	return eng.lease.settle(ctx)
}

// Attach reserves the attachments of all keys ([Verified.Attachment]) for the
// caller. It reports false if somebody has already reserved them.
func (eng *Engine) Attach() bool { return !eng.attached.Swap(true) }

// Forget makes the next request with a key read it again.
func (eng *Engine) Forget(id string) { eng.cache.forget(id) }

// Shrink frees the memory that a spike of requests in flight took.
func (eng *Engine) Shrink() { eng.cache.shrink() }

// Cached returns how many keys are in the table.
func (eng *Engine) Cached() int { return eng.cache.size() }

// Busy reports whether a request with any key is being served.
func (eng *Engine) Busy() bool { return eng.cache.busy() }

// AllInFlight counts the requests being served with any key.
func (eng *Engine) AllInFlight() int { return eng.cache.allInFlight() }

// InFlight counts the requests being served with one secret of a key.
func (eng *Engine) InFlight(id string, secret uint32) int { return eng.cache.inFlight(id, secret) }

// Environment returns the place of an environment among those of the service.
func (eng *Engine) Environment(name string) (int, bool) {
	i := slices.IndexFunc(eng.o.Environments, func(e apikey.Environment) bool { return e.Name == name })
	return i, i >= 0
}

// complain logs an error that every request may repeat, at most once a second.
func (eng *Engine) complain(msg string, args ...any) {
	if onceASecond(&eng.moaned) {
		eng.o.Log.Error(msg, args...)
	}
}

// warnThrottled logs a warning that strangers can cause, at most once a second.
func (eng *Engine) warnThrottled(msg string, args ...any) {
	if onceASecond(&eng.warned) {
		eng.o.Log.Warn(msg, args...)
	}
}

func onceASecond(last *atomic.Int64) bool {
	at, before := time.Now().Unix(), last.Load()
	return at != before && last.CompareAndSwap(before, at)
}
