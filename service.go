package latchkey

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/redact"
	"github.com/wontopos/latchkey/storage"
)

// Service issues, verifies and manages keys. Make one with [New] for each store
// and share it: all methods may be called concurrently.
//
// Operations return errors of type [*apikey.Error]; a store failure is
// [apikey.Unavailable], which wraps the cause for logs.
type Service struct {
	store    boundedStore
	o        Options
	log      *slog.Logger
	format   *tokenFormat
	digest   *digester
	cache    *cache
	lease    *lease // nil on a store that only one process uses
	terms    termsTable
	meter    *meter
	outbox   *outbox
	pace     pace // between flushes
	envs     []apikey.Environment
	envNames []string

	batches   storage.BatchGetter // nil when the store reads one key at a time
	known     *readQueue          // to the store, for keys that are in the cache
	strangers *readQueue          // for ids that were never seen; both are nil on a store in this process

	rereads atomic.Int32 // requests in awaitReread

	announcer      storage.Announcer // nil on a store that cannot announce
	refuser        refuser           // nil on a store that does not say why it refuses changes
	synchronous    bool              // the store announces every change
	planGeneration atomic.Uint64     // incremented by RefreshPlans; snapshots of an older one are loaded again

	gate     *gate // every operation passes it; Close waits until it is empty
	closed   atomic.Bool
	idling   sync.Once
	idle     chan struct{} // closed when the operations and the goroutines have ended
	ending   chan struct{} // holds a token while a Close finishes what is left
	left     bool          // leaveOnce was called; guarded by ending
	moaned   atomic.Int64  // when complain last logged, in seconds
	warned   atomic.Int64  // when warnThrottled last did
	cancel   func()        // ends the subscription to the store
	stop     context.CancelFunc
	stopped  context.Context
	workers  sync.WaitGroup
	attached atomic.Bool // somebody uses the keys' attachments
	upkeep   chan upkeepJob
	due      *callee // Options.OnDue
	cutters  *callee // of requests in flight
}

// New returns a service for a store. It starts the goroutines that write usage
// and look after rotations; Close ends them. The store remains the caller's:
// close it after the service.
//
// On a store that several processes share ([storage.Feed]), New waits until the store
// has answered once, so that the service is ready when it is returned, but no
// longer than [Options.StoreTimeout]: without an answer, requests are answered
// with [apikey.Unavailable] until there is one.
func New(store storage.Store, o Options) (*Service, error) {
	if store == nil {
		return nil, invalidf("store", "is nil: open one, for example with badgerstore.Open")
	}
	if err := o.prepare(); err != nil {
		return nil, err
	}
	format, err := newTokenFormat(o.Prefix, o.Environments)
	if err != nil {
		return nil, err
	}
	digest, err := newDigester(o.Peppers, o.Environments)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range o.Environments {
		names = append(names, e.Name)
	}
	o.Peppers = nil // the derived keys are kept, the originals are not
	s := &Service{
		store: boundedStore{patientStore{store, &callee{name: "the store", log: o.Logger}, o.StoreTimeout}, func(text string) string { return redact.Text(text, names, redact.Loose) }, o.Logger}, o: o, log: o.Logger, format: format, digest: digest, envs: o.Environments, envNames: names,
		meter:  new(meter),
		upkeep: make(chan upkeepJob, 256), due: &callee{name: "Options.OnDue", log: o.Logger}, cutters: &callee{name: "a Cutter", log: o.Logger},
		gate: newGate(), idle: make(chan struct{}), ending: make(chan struct{}, 1),
	}
	notifier, synchronous := storage.As[storage.Notifier](store)
	feed, shared := storage.As[storage.Feed](store)
	shared = shared && !synchronous
	if !synchronous && !shared && o.MaxStale <= 0 {
		return nil, invalidf("Options.MaxStale", "this store does not report changes: say how long a key may be trusted without asking again")
	}
	s.outbox = newOutbox(s.meter)
	s.synchronous = synchronous
	if s.pace.aim = flushAim; synchronous {
		s.pace.aim = flushAimHere
	}
	s.announcer, _ = storage.As[storage.Announcer](store)
	s.refuser, _ = storage.As[refuser](store)
	var stale time.Duration
	if !synchronous && !shared {
		stale = o.MaxStale
	}
	s.cache = newCache(o.CacheSize, stale)
	s.cache.shared = shared
	if !synchronous {
		s.openQueues(store)
	}
	s.stopped, s.stop = context.WithCancel(context.Background())
	s.cancel = func() {}
	if synchronous {
		if err := s.store.safely(func() error { s.cancel = notifier.Subscribe(s.notice); return nil }); err != nil {
			s.stop()
			return nil, unavailable("subscribe", err)
		}
	}
	if shared {
		s.lease = newLease(s, feed, o.Lease)
		s.lease.begin()
	}
	s.workers.Go(s.flushLoop)
	s.workers.Go(s.upkeepLoop)
	if o.OnDue != nil {
		s.workers.Go(s.dueLoop)
	}
	return s, nil
}

// Store returns the store, for packages that look for its optional abilities.
func (s *Service) Store() storage.Store { return s.store.Store }

// Prefix returns the text that every key starts with, "sk" by default.
func (s *Service) Prefix() string { return s.o.Prefix }

// Environments returns the environments, in order. The caller owns the slice.
func (s *Service) Environments() []apikey.Environment { return slices.Clone(s.envs) }

// Plans returns the plans of [Options.Plans], in order, or none with a
// PlanSource. The caller owns the slice.
func (s *Service) Plans() []apikey.Plan { return slices.Clone(s.o.Plans) }

// DefaultPlan returns the plan of a key created without one.
func (s *Service) DefaultPlan() string { return s.o.DefaultPlan }

// Scopes returns the catalogue of scopes. The caller owns the slice.
func (s *Service) Scopes() []apikey.Scope { return slices.Clone(s.o.Scopes) }

// MaxAge returns how old a secret may get before it is due for rotation.
func (s *Service) MaxAge() time.Duration { return s.o.MaxAge }

// Attach reserves the attachments of all keys ([Verified.Attachment]) for the
// caller. It reports false if somebody has already reserved them.
func (s *Service) Attach() bool { return !s.attached.Swap(true) }

// RefreshPlans makes a change in the [apikey.PlanSource] take effect: the limits of
// every key are looked up again at its next request. When it returns nil, no
// request that starts afterwards is decided by the old limits, in any process
// that shares the store; it waits for those processes as [Service.Revoke] does,
// with the same bound. On a store that reports no changes ([Options.MaxStale])
// this holds for this process only, and the others follow within MaxStale.
//
// After an error the new limits are in force in this process, but possibly not
// in the others: call it again.
func (s *Service) RefreshPlans(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.planGeneration.Add(1)
	if s.announcer == nil {
		if s.lease != nil {
			return unavailable("refresh plans", errors.New("this store cannot tell other processes: it is a Feed and no Announcer"))
		}
		return nil
	}
	if err := s.announce(ctx, topicPlans); err != nil {
		return storeError("refresh plans", err)
	}
	if s.lease == nil || s.lease.o.Async {
		return nil
	}
	return s.lease.settle(ctx)
}

func (s *Service) announce(ctx context.Context, topic string) error {
	_, err := patiently(ctx, s.store.callee, changePatience*s.o.StoreTimeout, func(ctx context.Context) (none struct{}, err error) {
		return none, s.announcer.Announce(ctx, topic)
	})
	return err
}

// complain logs an error that every request may repeat, at most once a second.
func (s *Service) complain(msg string, args ...any) {
	if onceASecond(&s.moaned) {
		s.log.Error(msg, args...)
	}
}

// warnThrottled logs a warning that strangers can cause, at most once a second.
func (s *Service) warnThrottled(msg string, args ...any) {
	if onceASecond(&s.warned) {
		s.log.Warn(msg, args...)
	}
}

func onceASecond(last *atomic.Int64) bool {
	at, before := time.Now().Unix(), last.Load()
	return at != before && last.CompareAndSwap(before, at)
}

func (s *Service) environment(name string) (int, bool) {
	i := slices.IndexFunc(s.envs, func(e apikey.Environment) bool { return e.Name == name })
	return i, i >= 0
}

// storeError returns errors that callers act upon unchanged and wraps all
// others in [apikey.Unavailable].
func storeError(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*apikey.Error](err); ours || apikey.CodeOf(err) != apikey.Internal ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return unavailable(op, err)
}

// now is the current time, as it is written into records.
func now() time.Time { return stamp(time.Now()) }

func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
