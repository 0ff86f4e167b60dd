// Package foreign stands between the service and code that is not ours: stores, sources of plans, callbacks. Such code
// may be slow, may panic, may ignore that its context has ended, and may answer with what no answer of ours can hold.
package foreign

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// ChangePatience is how many times as long a change may take as a read, because
// the outcome of an abandoned change is unknown.
const ChangePatience = 5

// Callee is one piece of such code, such as a store or the Cutter of a request. Its methods may be called concurrently.
type Callee struct {
	Name string // for errors and the log, such as "the store"
	Log  *slog.Logger

	left atomic.Int64 // calls that nobody waits for any more and that have not returned
}

const (
	// lateAnswer is how much longer a call is waited for whose context has ended.
	lateAnswer = time.Second
	// mostLeft bounds Callee.left.
	mostLeft = 64
)

// Safely calls f and turns a panic into an error, so that it ends neither the
// process nor what others wait for.
func (c *Callee) Safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.Log.Error("a call of "+c.Name+" panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s panicked: %v", c.Name, p)
		}
	}()
	return f()
}

// Call calls f in a goroutine of its own, and returns when f does, or lateAnswer
// after ctx has ended. What f does then is unknown: the error is not ctx's own.
func Call[T any](ctx context.Context, c *Callee, f func(context.Context) (T, error)) (v T, err error) {
	if c.left.Load() >= mostLeft {
		return v, fmt.Errorf("%d calls of %s have not returned", mostLeft, c.Name)
	}
	type answer struct {
		v   T
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("the goroutine ended")}
		defer func() { answered <- a }()
		a.err = c.Safely(func() (err error) { a.v, err = f(ctx); return err })
	}()
	select {
	case a := <-answered:
		return a.v, a.err
	case <-ctx.Done():
	}
	late := time.NewTimer(lateAnswer)
	defer late.Stop()
	select {
	case a := <-answered:
		return a.v, a.err
	case <-late.C:
	}
	c.left.Add(1)
	go func() {
		<-answered
		c.left.Add(-1)
	}()
	c.Log.Error("a call of " + c.Name + " ignores that its context has ended: nobody waits for it any more")
	return v, fmt.Errorf("%s ignores that its context has ended: %v", c.Name, ctx.Err())
}

// within calls f with a context that ends after d at the latest. If that
// deadline ends the call, the error is not ctx's own, so that callers do not
// think that their own context ended.
func within[T any](ctx context.Context, d time.Duration, f func(context.Context) (T, error)) (T, error) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return f(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	v, err := f(bounded)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("no answer within %v: %v", d, err)
	}
	return v, err
}

// Patiently is [Call] with a context that ends after d at the latest. If that
// deadline ends the call, the error is not ctx's own.
func Patiently[T any](ctx context.Context, c *Callee, d time.Duration, f func(context.Context) (T, error)) (T, error) {
	return within(ctx, d, func(ctx context.Context) (T, error) { return Call(ctx, c, f) })
}

// patientStore gives every call of a store a deadline, so that nothing waits
// for ever for a store that does not answer, whatever the caller's context.
type patientStore struct {
	storage.Store
	*Callee
	patience time.Duration
}

func (s patientStore) Get(ctx context.Context, id string) (storage.Record, error) {
	return Patiently(ctx, s.Callee, s.patience, func(ctx context.Context) (storage.Record, error) { return s.Store.Get(ctx, id) })
}

func (s patientStore) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	return Patiently(ctx, s.Callee, ChangePatience*s.patience, func(ctx context.Context) (uint64, error) { return s.Store.Apply(ctx, c) })
}

func (s patientStore) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	return Patiently(ctx, s.Callee, s.patience, func(ctx context.Context) (storage.Listing, error) { return s.Store.List(ctx, q) })
}

func (s patientStore) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	return Patiently(ctx, s.Callee, s.patience, func(ctx context.Context) ([]apikey.AuditEntry, error) { return s.Store.Audit(ctx, q) })
}

// AddUsage returns when the store does, even if the store ignores its context:
// until then the same counts must not be given to it again.
func (s patientStore) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	_, err := within(ctx, s.patience, func(ctx context.Context) (none struct{}, err error) {
		return none, s.Safely(func() error { return s.Store.AddUsage(ctx, batch) })
	})
	return err
}

func (s patientStore) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	return Patiently(ctx, s.Callee, s.patience, func(ctx context.Context) (apikey.Usage, error) { return s.Store.Usage(ctx, id, since) })
}

func (s patientStore) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	return Patiently(ctx, s.Callee, s.patience, func(ctx context.Context) ([]apikey.Activity, error) { return s.Store.Activity(ctx, ids, since) })
}

// Plans returns the source with a deadline for each of its calls. It is an
// [apikey.PlanLister] if the source is one. name is what errors and the log call
// it.
func Plans(source apikey.PlanSource, name string, patience time.Duration, log *slog.Logger) apikey.PlanSource {
	p := patientPlans{source, &Callee{Name: name, Log: log}, patience}
	if lister, ok := source.(apikey.PlanLister); ok {
		return patientLister{p, lister}
	}
	return p
}

type patientPlans struct {
	apikey.PlanSource
	*Callee
	patience time.Duration
}

func (p patientPlans) Plan(ctx context.Context, name string) (apikey.Plan, error) {
	return Patiently(ctx, p.Callee, p.patience, func(ctx context.Context) (apikey.Plan, error) { return p.PlanSource.Plan(ctx, name) })
}

type patientLister struct {
	patientPlans
	lister apikey.PlanLister
}

func (p patientLister) Plans(ctx context.Context) ([]apikey.Plan, error) {
	return Patiently(ctx, p.Callee, p.patience, p.lister.Plans)
}
