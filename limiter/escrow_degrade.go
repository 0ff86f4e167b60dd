package limiter

import (
	"context"
	"fmt"
	"slices"
)

// degrade decides without the shared limiter. The share is compared with
// everything that this instance has admitted, so that its part of N is not
// spent twice when the shared limiter goes away.
func (e *Escrow) degrade(ctx context.Context, p []claim, cost int64, charge bool, down error, d *Decision) error {
	if e.own == nil {
		return down
	}
	r := Request{Cost: cost}
	for i := range p {
		r.Demands = append(r.Demands, p[i].Demand)
	}
	if !e.shares(&r, cost) {
		return fmt.Errorf("cost %d is above the share of this instance: %w", cost, down)
	}
	if charge { // what is held would come on top
		for i := range p {
			p[i].view.drop(e.now())
		}
	}
	*d = Decision{} // the window adds its statuses
	err := e.own.decide(ctx, &r, nil, deed{charge: charge}, d)
	d.At = -d.At // the sign tells Settle that this instance decided
	return err
}

// shares replaces the limits with this instance's share of them; false if the
// cost is above one of them.
func (e *Escrow) shares(r *Request, cost int64) bool {
	r.Demands = slices.Clone(r.Demands)
	for i := range r.Demands {
		q := &r.Demands[i]
		q.Limits = slices.Clone(q.Limits)
		for j := range q.Limits {
			if q.Limits[j].N /= e.many; q.Limits[j].N < cost {
				return false
			}
		}
	}
	return true
}

// remember counts admitted requests in the windows of this instance. Windows
// that are already full count enough for any share.
func (e *Escrow) remember(ctx context.Context, p []claim, cost int64) {
	if e.own == nil {
		return
	}
	var one [1]Demand
	r := Request{Demands: one[:], Cost: cost}
	for i := range p {
		var d Decision
		one[0] = p[i].Demand
		_ = e.own.decide(ctx, &r, nil, deed{charge: true}, &d)
	}
}
