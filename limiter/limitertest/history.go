package limitertest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// count identifies a limit on a subject: limits that are equal in all of this
// share what is charged to them.
type count struct {
	subject, name string
	window        time.Duration
	period        apikey.Period
	zone          string
	concurrent    bool
}

func countOf(subject string, l apikey.Limit) count {
	c := count{subject, l.Name, l.Window, l.Period, l.Zone, l.Concurrent}
	if l.Period == apikey.Ever {
		c.zone = ""
	}
	return c
}

// charge is what one request cost one limit.
type charge struct {
	of     count
	at     time.Time
	leaves time.Time     // from this instant on it does not count; zero: never
	took   time.Duration // it was made at this much later than at, at the latest
	cost   int64
	over   bool // it was a request in progress, and has ended
}

// history is all that was charged. It decides by adding it up.
type history struct {
	charges map[count][]*charge
	// leaves is when a charge of an instant leaves a limit, if not when the
	// contract says.
	leaves func(l apikey.Limit, at time.Time) time.Time
}

// slack is how much longer than it should a charge to a window may count.
type slack func(c count, l apikey.Limit) time.Duration

// exactly is no slack.
var exactly slack

// leaving is the contract: when a charge stops to count.
func leaving(l apikey.Limit, at time.Time) time.Time {
	if l.Window > 0 {
		return at.Add(l.Window)
	}
	_, end, _ := l.Span(at) // zero for Ever, and for requests in progress
	return end
}

// counted is a charge that counts, and when it leaves; zero: never.
type counted struct {
	leaves time.Time
	cost   int64
}

// counted returns the charges that count at an instant, in the order in which
// they leave.
func (h *history) counted(c count, l apikey.Limit, now time.Time, s slack) []counted {
	all := make([]counted, 0, len(h.charges[c]))
	late := time.Duration(0)
	if s != nil && l.Window > 0 {
		late = s(c, l)
	}
	for _, x := range h.charges[c] {
		leaves := x.leaves
		if s != nil && l.Window > 0 {
			leaves = leaves.Add(x.took + late)
		}
		if x.cost > 0 && !x.over && (leaves.IsZero() || leaves.After(now)) {
			all = append(all, counted{leaves, x.cost})
		}
	}
	inOrder := func(a, b counted) int { return a.leaves.Compare(b.leaves) }
	if !slices.IsSortedFunc(all, inOrder) {
		slices.SortStableFunc(all, inOrder)
	}
	return all
}

func sum(all []counted) (n int64) {
	for _, x := range all {
		n = min(n+x.cost, 1<<62)
	}
	return n
}

// decideOne returns the state of a limit at an instant, and how long it refuses
// a cost; 0 if it admits it now.
func (h *history) decideOne(c count, l apikey.Limit, cost int64, now time.Time, s slack) (st limiter.Status, wait time.Duration) {
	all := h.counted(c, l, now, s)
	st.Remaining = max(l.N-sum(all), 0)
	if len(all) > 0 && !all[0].leaves.IsZero() {
		st.Reset = all[0].leaves.Sub(now)
	}
	if cost > l.N {
		return st, limiter.Never
	}
	// An amount of 0 needs room for 1.
	for ; len(all) > 0 && sum(all) > l.N-max(cost, 1); all = all[1:] {
		switch {
		case l.Concurrent:
			return st, limiter.Unknown
		case all[0].leaves.IsZero():
			return st, limiter.Never
		}
		wait = all[0].leaves.Sub(now)
	}
	return st, wait
}

// longer reports whether one wait is longer than another.
func longer(a, b time.Duration) bool {
	rank := func(d time.Duration) int {
		switch d {
		case limiter.Never:
			return 2
		case limiter.Unknown:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) > 0
}

// costIn returns what the request costs a limit, and whether that has a say.
func costIn(r limiter.Request, l apikey.Limit) (cost int64, says bool) {
	switch {
	case l.Concurrent:
		return 1, true
	case l.Unit == "":
		return max(r.Cost, 1), true
	}
	for _, a := range r.Amounts {
		if a.Unit == l.Unit {
			return a.N, true
		}
	}
	return 0, false
}

// each calls do for all limits of a request.
func each(r limiter.Request, do func(i int, c count, l apikey.Limit)) {
	i := 0
	for _, q := range r.Demands {
		for _, l := range q.Limits {
			l.Shadow = l.Shadow || r.Shadow
			do(i, countOf(q.Subject, l), l)
			i++
		}
	}
}

// report sets what is left, and keeps what was violated.
func (h *history) report(r limiter.Request, now time.Time, d *limiter.Decision) {
	each(r, func(i int, c count, l apikey.Limit) {
		was := d.Windows[i].Violated
		d.Windows[i], _ = h.decideOne(c, l, 0, now, exactly)
		d.Windows[i].Violated = was
	})
}

// decide returns what Peek should.
func (h *history) decide(r limiter.Request, now time.Time, s slack) (d limiter.Decision) {
	d.Allowed = true
	each(r, func(i int, c count, l apikey.Limit) {
		d.N++
		cost, says := costIn(r, l)
		status, wait := h.decideOne(c, l, cost, now, s)
		d.Windows[i] = status
		if !says || wait == 0 {
			return
		}
		d.Windows[i].Violated = true
		if l.Shadow {
			return
		}
		d.Allowed = false
		if longer(wait, d.RetryAfter) {
			d.RetryAfter = wait
		}
	})
	return d
}

// shadowsCharged reports whether the shadows of an admitted request were.
func shadowsCharged(r limiter.Request, d limiter.Decision) bool {
	charged := true
	each(r, func(i int, _ count, l apikey.Limit) {
		charged = charged && !(l.Shadow && d.Windows[i].Violated)
	})
	return charged
}

// paid is what an admitted request has charged: one of each limit, or nil.
type paid [limiter.MaxWindows]*charge

// charge records an admission as a decision says, made between two instants.
func (h *history) charge(r limiter.Request, d limiter.Decision, from, to time.Time) (p paid) {
	if h.charges == nil {
		h.charges = map[count][]*charge{}
	}
	shadows := shadowsCharged(r, d)
	each(r, func(i int, c count, l apikey.Limit) {
		cost, says := costIn(r, l)
		if !says || l.Shadow && !shadows {
			return
		}
		at := from
		all := slices.DeleteFunc(h.charges[c], func(x *charge) bool {
			return x.over || !x.leaves.IsZero() && x.leaves.Add(l.Window).Before(from)
		})
		for _, x := range all { // the clock was set back
			if x.at.After(at) {
				at = x.at
			}
		}
		leaves := h.leaves
		if leaves == nil {
			leaves = leaving
		}
		c.subject, c.name, c.zone = strings.Clone(c.subject), strings.Clone(c.name), strings.Clone(c.zone)
		p[i] = &charge{of: c, at: at, leaves: leaves(l, at), took: to.Sub(from), cost: cost}
		h.charges[c] = append(all, p[i])
	})
	return p
}

// settle changes what a request has charged to what it costs now. Where it does
// not count any more, nobody can tell.
func (p paid) settle(r limiter.Request, s limiter.Settlement) {
	settled := settledAt(r, s)
	each(r, func(i int, c count, l apikey.Limit) {
		x := p[i]
		if x == nil || x.of != c || l.Concurrent {
			return
		}
		if x.cost, _ = costIn(settled, l); l.Unit == "" {
			x.cost = s.Cost
		}
	})
}

// end frees the slots of a request.
func (p paid) end(r limiter.Request) {
	each(r, func(i int, c count, l apikey.Limit) {
		if x := p[i]; x != nil && x.of == c && l.Concurrent {
			x.over = true
		}
	})
}

// endAll ends all requests in progress, as a process does that ends.
func (h *history) endAll() {
	for c, all := range h.charges {
		for _, x := range all {
			x.over = x.over || c.concurrent
		}
	}
}

// settledAt returns the request at the cost that it was settled at; a cost of 0
// cannot be said by a request.
func settledAt(r limiter.Request, s limiter.Settlement) limiter.Request {
	r.Cost, r.Amounts = s.Cost, slices.Clone(r.Amounts)
	for i := range r.Amounts {
		for _, a := range s.Amounts {
			if a.Unit == r.Amounts[i].Unit {
				r.Amounts[i].N = a.N
			}
		}
	}
	return r
}
