package limiter

import (
	"context"
	"fmt"
)

// degrade decides without the shared limiter. The share is compared with all that
// this instance admitted, so that its part of N is not spent twice where the
// shared limiter goes away.
func (e *Escrow) degrade(ctx context.Context, p []claim, cost int64, charge bool, down error, d *Decision) error {
	if e.own == nil {
		return down
	}
	var share [MaxWindows]Limit
	r := Request{Cost: cost}
	for i := range p {
		limits := share[p[i].at:][:len(p[i].Limits)]
		copy(limits, p[i].Limits)
		for j := range limits {
			if limits[j].N /= e.many; limits[j].N < cost {
				return fmt.Errorf("cost %d is above the share of this instance: %w", cost, down)
			}
		}
		r.demand(i).Subject, r.demand(i).Limits = p[i].Subject, limits
	}
	if charge { // what is held would come on top
		for i := range p {
			p[i].view.drop(e.now())
		}
	}
	*d = Decision{} // the window adds its statuses
	return e.own.decide(ctx, &r, charge, d)
}

// remember counts what was admitted in the windows of this instance. Where they
// are full already they count enough for any share.
func (e *Escrow) remember(ctx context.Context, p []claim, cost int64) {
	if e.own == nil {
		return
	}
	r := Request{Cost: cost}
	for i := range p {
		var d Decision
		r.Subject, r.Limits = p[i].Subject, p[i].Limits
		_ = e.own.decide(ctx, &r, true, &d)
	}
}

func (r *Request) demand(i int) *Demand {
	if i == 0 {
		return &r.Demand
	}
	return &r.Also
}
