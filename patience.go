package latchkey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// changePatience is how many times as long a change may take as a read, because
// the outcome of an abandoned change is unknown.
const changePatience = 5

// patientStore gives every call of a store a deadline, so that nothing waits
// for ever for a store that does not answer, whatever the caller's context.
type patientStore struct {
	storage.Store
	patience time.Duration
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

func (s patientStore) Get(ctx context.Context, id string) (storage.Record, error) {
	return within(ctx, s.patience, func(ctx context.Context) (storage.Record, error) { return s.Store.Get(ctx, id) })
}

func (s patientStore) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	return within(ctx, changePatience*s.patience, func(ctx context.Context) (uint64, error) { return s.Store.Apply(ctx, c) })
}

func (s patientStore) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	return within(ctx, s.patience, func(ctx context.Context) (storage.Listing, error) { return s.Store.List(ctx, q) })
}

func (s patientStore) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	return within(ctx, s.patience, func(ctx context.Context) ([]apikey.AuditEntry, error) { return s.Store.Audit(ctx, q) })
}

func (s patientStore) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	_, err := within(ctx, s.patience, func(ctx context.Context) (none struct{}, err error) { return none, s.Store.AddUsage(ctx, batch) })
	return err
}

func (s patientStore) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	return within(ctx, s.patience, func(ctx context.Context) (apikey.Usage, error) { return s.Store.Usage(ctx, id, since) })
}

func (s patientStore) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	return within(ctx, s.patience, func(ctx context.Context) ([]apikey.Activity, error) { return s.Store.Activity(ctx, ids, since) })
}

// patientPlans does the same for a source of plans.
type patientPlans struct {
	apikey.PlanSource
	patience time.Duration
}

func (p patientPlans) Plan(ctx context.Context, name string) (apikey.Plan, error) {
	return within(ctx, p.patience, func(ctx context.Context) (apikey.Plan, error) { return p.PlanSource.Plan(ctx, name) })
}
