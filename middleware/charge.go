package middleware

import (
	"context"
	"errors"

	"github.com/wontopos/latchkey/limiter"
)

// charge is what the limiter charged at an instant of its own clock.
type charge struct{ at, cost int64 }

// takeMore charges the difference separately, where the existing charge cannot
// or must not be changed. After a refusal the decision describes the whole
// cost, because that much must fit when the client tries again.
func (g *Guard) takeMore(ctx context.Context, demand *limiter.Request, n *nested, cost int64, o *Outcome) error {
	demand.Cost = cost
	for _, c := range n.charges {
		demand.Cost -= c.cost
	}
	if err := g.take(ctx, demand, o); err != nil || o.decision.Allowed {
		return err
	}
	demand.Cost = cost
	if whole, err := g.limiter.Peek(ctx, *demand); err == nil && !whole.Allowed && whole.N == o.decision.N {
		o.decision = whole
	}
	return nil
}

// settle changes what a request was charged; false if the limiter cannot.
func (g *Guard) settle(ctx context.Context, demand *limiter.Request, c charge, cost int64, o *Outcome) (bool, error) {
	if g.settler == nil || c.at == 0 {
		return false, nil
	}
	demand.Cost = c.cost
	d, err := g.settler.Settle(ctx, *demand, limiter.Decision{At: c.at}, limiter.Settlement{Cost: cost})
	if errors.Is(err, errors.ErrUnsupported) {
		return false, nil
	}
	if err = asked(demand, &d, err); err == nil {
		o.decision = d
	}
	return true, err
}
