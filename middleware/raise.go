package middleware

import (
	"context"
	"slices"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// raise charges what an inner door asks beyond all doors before it: the
// difference in cost and amounts, and the limits that it is the first to name. It
// changes no charge that was made, because settling never refuses, and this may.
// Then raise leaves it to decline to give everything back.
func (p *passage) raise(ctx context.Context, d *Door, o *Outcome) (raised bool, code apikey.Code) {
	r := &d.route
	if len(r.Amounts)+len(r.Limits) == 0 && r.Cost <= max(p.door.route.Cost, 1) { // true of most inner doors
		return false, apikey.OK
	}
	n, g := p.more(), p.door.guard
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.set != nil {
		o.set = n.set
	}
	before, known := g.demand(new(demands), o.verified.KeyID(), o), o.keyLimits()
	news := slices.DeleteFunc(slices.Clone(r.Limits), func(l apikey.Limit) bool {
		return slices.ContainsFunc(known, l.Same) || l.Concurrent && p.state.Load()&settled != 0 // nothing would free its slot
	})
	if len(news) > 0 {
		o.set = newLimitSet("", "", append(slices.Clone(known), news...))
	}
	whole := g.demand(new(demands), o.verified.KeyID(), o)
	costs, more := n.raiseTo(d)
	asks := []charge{{demands: takingPart(before, more), costs: more}, {costs: costs}}
	if len(news) > 0 {
		asks[1].demands = []limiter.Demand{{Subject: g.subject(o.verified.KeyID(), o), Limits: news}}
	}
	charged := len(n.raised)
	for i := range asks {
		ask := &asks[i]
		if len(ask.demands) == 0 {
			continue
		}
		q := ask.request(g)
		err := g.take(ctx, &q, o)
		switch code = g.decided(ctx, err, o); {
		case code != apikey.OK:
			n.undo(ctx, g, charged)
			if code == apikey.RateLimited {
				g.show(ctx, whole, costs, news, o)
			}
			return false, code
		case err == nil && o.decision.N > 0:
			ask.at, ask.slot, ask.missed = o.decision.At, o.decision.Slot, missed(&o.decision)
			if n.raised = append(n.raised, *ask); ask.slot != 0 {
				p.state.Or(owing)
			}
		}
	}
	if n.costs = costs; len(news) > 0 {
		n.set = o.set
	}
	if len(n.raised) == charged {
		return false, apikey.OK
	}
	if o.decision.N != limitsIn(whole) {
		g.show(ctx, whole, costs, news, o)
	}
	if n.report != nil {
		n.report.decision, n.report.set, n.report.owner = o.decision, o.set, o.owner
	}
	return o.decision.N > 0, apikey.OK
}

// undo gives back what was charged before a refusal: the handler may answer
// anyway, or ask again. What cannot be given back now is tried again at the end.
func (n *nested) undo(ctx context.Context, g *Guard, charged int) {
	for i := len(n.raised) - 1; i >= charged; i-- {
		c := &n.raised[i]
		nothing := slices.Clone(c.costs)
		for j := range nothing {
			nothing[j].N = 0
		}
		if _, err := g.settle(ctx, c, nothing); err != nil {
			return
		}
		n.raised = n.raised[:i]
	}
}

// raiseTo returns what a request costs with one more door, and by how much that
// is more. n is locked.
func (n *nested) raiseTo(d *Door) (costs, more []limiter.Amount) {
	costs, more = slices.Clone(n.costs), []limiter.Amount{{}}
	for _, a := range d.costs {
		switch i := indexUnit(costs, a.Unit); {
		case i < 0:
			costs, more = append(costs, a), append(more, a)
		case a.N > costs[i].N && i == 0:
			more[0].N, costs[0] = a.N-costs[0].N, a
		case a.N > costs[i].N:
			more = append(more, limiter.Amount{Unit: a.Unit, N: a.N - costs[i].N})
			costs[i] = a
		}
	}
	return costs, more
}

// takingPart returns the demands for those limits that count more when a request
// costs more: not those on requests in progress, nor those of other units.
func takingPart(all []limiter.Demand, more []limiter.Amount) (some []limiter.Demand) {
	for _, d := range all {
		d.Limits = slices.DeleteFunc(slices.Clone(d.Limits), func(l apikey.Limit) bool {
			i := indexUnit(more, l.Unit)
			return l.Concurrent || i < 0 || i == 0 && more[0].N == 0
		})
		if len(d.Limits) > 0 {
			some = append(some, d)
		}
	}
	return some
}

func limitsIn(all []limiter.Demand) (n int) {
	for i := range all {
		n += len(all[i].Limits)
	}
	return n
}

// show makes the decision about a part of a request one about the whole: that is
// what must fit when the client tries again.
func (g *Guard) show(ctx context.Context, whole []limiter.Demand, costs []limiter.Amount, news []apikey.Limit, o *Outcome) {
	c := charge{demands: whole, costs: costs}
	q, part := c.request(g), o.decision
	d, err := g.limiter.Peek(ctx, q)
	if err = asked(&q, &d, err); err != nil || d.N != limitsIn(whole) {
		if part.N != limitsIn(whole) { // nobody can say which is which
			o.decision = limiter.Decision{Allowed: part.Allowed, RetryAfter: part.RetryAfter}
		}
		return
	}
	if d.Allowed || part.Allowed || d.RetryAfter == limiter.Unknown {
		d.RetryAfter = part.RetryAfter
	}
	d.Allowed, o.decision = part.Allowed, d
	for i := range d.N {
		l, _, _ := o.limit(i)
		if part.Allowed || l.Concurrent && !slices.ContainsFunc(news, l.Same) { // the request itself is in progress
			o.decision.Windows[i].Violated = false
		}
	}
}
