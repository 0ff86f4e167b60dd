package middleware

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wontopos/latchkey/limiter"
)

// SetCost says what a request turned out to cost: n of a unit that its route
// reserves ([Route.Amounts]), or, with the empty unit, its cost, in all. The last
// word counts. When the request has ended, the difference to what was charged is
// given back or charged, where the original charge counts, once. It is never
// refused: what is above a limit delays later requests. So reserve what a request
// may cost at most.
//
// ctx is that of a request with a key, or derived from it; its key need not have
// limits. It is an error if ctx is another one or the request has ended, if n is
// negative, and if the route does not reserve the unit. A limiter that cannot
// settle ([limiter.Settler]) keeps what was reserved.
func SetCost(ctx context.Context, unit string, n int64) error {
	if n < 0 {
		return fmt.Errorf("middleware: SetCost: n is negative: %d", n)
	}
	p, ok := ctx.Value(costKey{}).(*passage)
	if !ok {
		return errors.New("middleware: SetCost: ctx: is not that of a request that a Guard has admitted with a key")
	}
	return p.setCost(unit, n)
}

// costKey finds the passage of a request, whatever its Guard.
type costKey struct{}

func (p *passage) setCost(unit string, cost int64) error {
	n := p.more()
	n.mu.Lock()
	defer n.mu.Unlock()
	if indexUnit(n.costs, unit) < 0 {
		return fmt.Errorf("middleware: SetCost: unit: the route does not reserve %q: add it to Route.Amounts", unit)
	}
	before := n.spent
	if n.spent = slices.Clone(before); indexUnit(before, unit) >= 0 {
		n.spent[indexUnit(before, unit)].N = cost
	} else {
		n.spent = append(n.spent, limiter.Amount{Unit: unit, N: cost})
	}
	if p.state.Or(owing)&(over|settled) != 0 {
		n.spent = before
		return errors.New("middleware: SetCost: ctx: the request has ended")
	}
	return nil
}

func indexUnit(amounts []limiter.Amount, unit string) int {
	return slices.IndexFunc(amounts, func(a limiter.Amount) bool { return a.Unit == unit })
}

// charge is what the limiter charged in one step.
type charge struct {
	demands []limiter.Demand
	costs   []limiter.Amount // the cost, with the empty unit, and then amounts
	at      int64
	slot    uint64
	missed  uint8 // which limits were not charged, because they are shadows
}

// missed returns which limits of an admission refused it: shadows.
func missed(d *limiter.Decision) (which uint8) {
	for i := range d.Windows[:d.N] {
		if d.Windows[i].Violated {
			which |= 1 << i
		}
	}
	return which
}

// decision is what a limiter needs to know again of the one with which it made
// the charge.
func (c *charge) decision() limiter.Decision {
	d := limiter.Decision{Allowed: true, At: c.at, Slot: c.slot, N: limitsIn(c.demands)}
	for i := range d.N {
		d.Windows[i].Violated = c.missed&(1<<i) != 0
	}
	return d
}

func (c *charge) request(g *Guard) limiter.Request {
	return limiter.Request{Demands: c.demands, Cost: c.costs[0].N, Amounts: c.costs[1:], Shadow: g.o.Shadow}
}

// costs is the cost and the amounts of a route in one list.
func (r *Route) costs() []limiter.Amount {
	return append([]limiter.Amount{{N: max(r.Cost, 1)}}, r.Amounts...)
}

// charges returns everything that the request was charged. n may be nil.
func (p *passage) charges(n *nested) (all []charge) {
	if p.charged {
		o := p.outcome()
		first := charge{p.door.guard.demand(new(demands), o.verified.KeyID(), &o), p.door.costs, p.chargedAt, 0, p.missed}
		if n != nil && n.tab != nil {
			first.slot = n.slot
		}
		all = append(all, first)
	}
	if n != nil {
		all = append(all, n.raised...)
	}
	return all
}

// outcome has what is needed to name the limits of the outermost door.
func (p *passage) outcome() Outcome {
	g, v := p.door.guard, p.flight.Verified()
	o := Outcome{guard: g, verified: v, presented: v.Principal()}
	if n := p.nested.Load(); n != nil && n.tab != nil {
		o.owner = n.owner
	} else if g.owners != nil {
		// Without a source it asks nobody, and the client may have gone.
		o.owner, _ = g.owners.of(context.Background(), o.presented.Owner(), g.engine.PlanGeneration())
	}
	o.set = p.door.sets.of(v.Limits(), p.door.route.Limits)
	return o
}

// totals returns what each charge of a request should cost: what was spent, as
// far as that is known, and nothing if the request is free. What is given back
// comes out of the last charges first, and what is charged on top goes to the
// first one that has the unit.
func totals(charges []charge, spent []limiter.Amount, free bool) [][]limiter.Amount {
	all := make([][]limiter.Amount, len(charges))
	for i := range charges {
		all[i] = slices.Clone(charges[i].costs)
		for j := range all[i] {
			if free {
				all[i][j].N = 0
			}
		}
	}
	if free {
		return all
	}
	for _, s := range spent {
		first, rest := (*limiter.Amount)(nil), s.N
		for i := range all {
			if j := indexUnit(all[i], s.Unit); j >= 0 {
				a := &all[i][j]
				if first == nil {
					first = a
				}
				a.N = min(a.N, rest)
				rest -= a.N
			}
		}
		if first != nil {
			first.N += rest
		}
	}
	return all
}

// settleTimeout bounds a round trip made for a request that has ended, and whose
// client may be gone.
const settleTimeout = time.Second

// settle makes the request cost what it should, and frees its slots. It does so
// once, and returns what the limiter said about the outermost door's charge, if
// there was one. If n is not nil, it is locked.
func (p *passage) settle(ctx context.Context, n *nested, free bool) (after limiter.Decision) {
	if p.state.Or(settled)&settled != 0 {
		return after
	}
	g, charges := p.door.guard, p.charges(n)
	var spent []limiter.Amount
	if n != nil {
		spent = n.spent
	}
	for i, total := range slices.Backward(totals(charges, spent, free)) {
		c := &charges[i]
		if c.slot == 0 && slices.Equal(total, c.costs) {
			continue
		}
		d, err := g.settle(ctx, c, total)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			g.unsettled.Do(func() {
				g.o.Logger.Warn("the limiter cannot give back what a request was charged, nor free its place among the requests in progress (see limiter.Settler)")
			})
		case err != nil:
			g.complaint.say(g, err)
		case i == 0 && p.charged:
			after = d
		}
	}
	return after
}

// settle makes a charge cost something else, and ends it.
func (g *Guard) settle(ctx context.Context, c *charge, total []limiter.Amount) (d limiter.Decision, err error) {
	if g.settler == nil {
		return d, errors.ErrUnsupported
	}
	ctx = context.WithoutCancel(ctx)
	if g.window == nil { // it may make a round trip
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, settleTimeout)
		defer cancel()
	}
	r := c.request(g)
	d, err = g.settler.Settle(ctx, r, c.decision(), limiter.Settlement{Cost: total[0].N, Amounts: total[1:], Over: true})
	return d, asked(&r, &d, err)
}

// owes reports whether there is something to settle when the request ends.
func (p *passage) owes() bool { return p.state.Load()&(owing|settled) == owing }

// end settles the request, which has ended with an HTTP status; 0 if that is not
// known.
func (p *passage) end(status int) {
	n, free := p.nested.Load(), p.door.route.Free
	if n != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.free != nil {
			free = n.free
		}
	}
	p.settle(p.parent, n, free != nil && status != 0 && free(status))
}

// freeBy makes an inner door say which statuses cost nothing.
func (p *passage) freeBy(free func(status int) bool) {
	if free == nil {
		return
	}
	n := p.more()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.free = free
	p.state.Or(owing)
}
