package main

import (
	"context"
	"sync"

	"github.com/wontopos/latchkey/apikey"
)

// table is the billing table. To latchkey it is a source of plans; Subscribe is
// called when a customer has bought another plan. An unknown plan, or a customer
// whose name cannot be that of a plan, is an [apikey.InvalidArgument].
type table interface {
	apikey.PlanSource
	Subscribe(ctx context.Context, customer, product string) error
}

// inMemory stands for a database: a row for each customer, with the product that
// the customer pays for.
type inMemory struct {
	products map[string][]apikey.Limit // never changed

	mu   sync.RWMutex
	rows map[string]string // by customer
}

func newTable() *inMemory {
	t := &inMemory{products: make(map[string][]apikey.Limit), rows: make(map[string]string)}
	for _, p := range apikey.StandardPlans() {
		t.products[p.Name] = p.Limits
	}
	return t
}

// Plan returns the plan of a customer: keys name a row, not a product. So a change
// of one row reaches all keys of the customer, and none of them is written.
//
// In SQL this is one SELECT. No row is [apikey.NotFound]; a database that does not
// answer is any other error, and keys whose limits are not known get a 503.
func (t *inMemory) Plan(_ context.Context, customer string) (apikey.Plan, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	product, ok := t.rows[customer]
	if !ok {
		return apikey.Plan{}, apikey.NotFound
	}
	return apikey.Plan{Name: customer, Limits: t.products[product]}, nil
}

func (t *inMemory) Subscribe(_ context.Context, customer, product string) error {
	limits, ok := t.products[product]
	if !ok {
		return &apikey.Error{Code: apikey.InvalidArgument, Field: "plan", Msg: "there is no such plan"}
	}
	if err := (apikey.Plan{Name: customer, Limits: limits}).Validate(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[customer] = product
	return nil
}
