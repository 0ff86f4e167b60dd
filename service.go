package latchkey

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/internal/foreign"
	"github.com/wontopos/latchkey/internal/token"
	"github.com/wontopos/latchkey/storage"
)

// Service issues, verifies and manages keys. Make one with [New] for each store
// and share it: all methods may be called concurrently.
//
// Operations return errors of type [*apikey.Error]; a store failure is
// [apikey.Unavailable], which wraps the cause for logs.
type Service struct {
	store    foreign.Store
	inner    storage.Store // as it was given to New
	o        Options
	engine   *engine.Engine // what requests meet
	format   *token.Format
	digest   *token.Digester
	outbox   *outbox
	pace     pace // between flushes
	envNames []string

	refuser refuser         // nil on a store that does not say why it refuses changes
	ending  chan struct{}   // holds a token while a Close finishes what is left
	due     *foreign.Callee // Options.OnDue
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
		return nil, faults.Invalid("store", "is nil: open one, for example with badgerstore.Open")
	}
	if err := o.prepare(); err != nil {
		return nil, err
	}
	format, err := token.NewFormat(o.Prefix, o.Environments)
	if err != nil {
		return nil, err
	}
	peppers := make([]token.Pepper, len(o.Peppers))
	for i, p := range o.Peppers {
		peppers[i] = token.Pepper(p)
	}
	digest, err := token.NewDigester(peppers, o.Environments)
	if err != nil {
		return nil, err
	}
	o.Peppers = nil // the derived keys are kept, the originals are not
	s := &Service{inner: store, o: o, format: format, digest: digest, ending: make(chan struct{}, 1)}
	for _, e := range o.Environments {
		s.envNames = append(s.envNames, e.Name)
	}
	s.store = foreign.NewStore(store, o.StoreTimeout, s.Redact, o.Logger)
	s.refuser, _ = storage.As[refuser](store)
	s.due = &foreign.Callee{Name: "Options.OnDue", Log: o.Logger}
	if s.engine, err = engine.New(store, s.store, format, digest, engine.Options{
		Environments: o.Environments, Plans: o.PlanSource, CacheSize: o.CacheSize, MaxStale: o.MaxStale,
		StoreTimeout: o.StoreTimeout, Lease: engine.Lease(o.Lease), Log: o.Logger, Redact: s.Redact, RevokeAgain: s.revokeAgain,
	}); err != nil {
		return nil, err
	}
	s.outbox = newOutbox(s.engine)
	if s.pace.aim = flushAim; s.engine.Synchronous() {
		s.pace.aim = flushAimHere
	}
	if err := s.engine.Start(); err != nil {
		return nil, err
	}
	s.engine.Go(s.flushLoop)
	s.engine.Go(s.upkeepLoop)
	if o.OnDue != nil {
		s.engine.Go(s.dueLoop)
	}
	return s, nil
}

func init() {
	engine.Of = func(service any) *engine.Engine { return service.(*Service).engine }
	engine.InQuestion = func(explanation any) engine.Verified { return explanation.(*Explanation).verified }
}

// Verify authenticates a token, and returns who it belongs to. A Guard of
// package middleware does much more: it checks the route's scopes, the host and
// the network, charges the limits, counts the request, and cuts it when the key
// ends. The error is
//
//   - nil, if the token belongs to a key that works now;
//   - [apikey.ExpiredKey], [apikey.DisabledKey] or [apikey.RevokedKey], with a principal that
//     says whose it is, if the secret is right but does not work;
//   - [apikey.InvalidKey] for everything else that is not a key: the same answer
//     for an unknown id and for a wrong secret;
//   - [apikey.Unavailable] if the store cannot confirm, [apikey.Closed] after Close,
//     ctx's error if it ends first.
//
// The verdict is as fresh as the store allows: on one that reports changes
// ([storage.Notifier]) a Verify that starts after Revoke has returned refuses the
// key. Verifying a cached key does no I/O and allocates nothing. The token is not
// kept. The principal is shared and immutable, and nil unless the secret is
// right.
func (s *Service) Verify(ctx context.Context, token string) (*apikey.Principal, error) {
	v, err := s.engine.Verify(ctx, token)
	if v.IsZero() {
		return nil, err
	}
	return v.Principal(), err
}

// Store returns the store, for packages that look for its optional abilities.
func (s *Service) Store() storage.Store { return s.inner }

// Prefix returns the text that every key starts with, "sk" by default.
func (s *Service) Prefix() string { return s.o.Prefix }

// Environments returns the environments, in order. The caller owns the slice.
func (s *Service) Environments() []apikey.Environment { return slices.Clone(s.o.Environments) }

// Plans returns the plans of [Options.Plans], in order, or what the PlanSource
// lists: nothing, if it is no [apikey.PlanLister]. The caller owns the slice.
func (s *Service) Plans(ctx context.Context) ([]apikey.Plan, error) {
	lister, ok := s.o.PlanSource.(apikey.PlanLister)
	if !ok {
		return slices.Clone(s.o.Plans), nil
	}
	plans, err := lister.Plans(ctx)
	if err == nil {
		for _, p := range plans {
			if err = p.Validate(); err != nil {
				break
			}
		}
	}
	if err != nil {
		return nil, storeError("plans", err)
	}
	return slices.Clone(plans), nil
}

// DefaultPlan returns the plan of a key created without one.
func (s *Service) DefaultPlan() string { return s.o.DefaultPlan }

// Scopes returns the catalogue of scopes. The caller owns the slice.
func (s *Service) Scopes() []apikey.Scope { return slices.Clone(s.o.Scopes) }

// MaxAge returns how old a secret may get before it is due for rotation.
func (s *Service) MaxAge() time.Duration { return s.o.MaxAge }

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
	if err := s.engine.Enter(); err != nil {
		return err
	}
	defer s.engine.Leave()
	return storeError("refresh plans", s.engine.RefreshPlans(ctx))
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
	return faults.Unavailable(op, err)
}
