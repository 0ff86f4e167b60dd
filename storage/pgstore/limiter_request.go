package pgstore

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// question is a request as the server wants it: the subjects in the order of
// their bytes, which is the order of their locks, and the limits in the same
// order.
type question struct {
	names   [][]byte
	asks    pgtype.Array[int64] // askNumbers for each limit
	limits  []asked
	keep    int64 // how long a charge may count
	durable bool
}

// asked is a limit of a question.
type asked struct {
	apikey.Limit
	shape
	subject string
	at      int // where its status belongs in the decision
}

// askNumbers is how many numbers the server is told of a limit. They are
// described at the function limit_use.
const askNumbers = 10

// answerHead is how many numbers of an answer come before those of the limits.
const answerHead = 3

// mostCost bounds what is added up. The server's sums end at twice as much.
const mostCost = 1 << 61

// questionOf returns the question, but for what is asked. Whoever asks appends
// that for each of its limits.
func (l *Limiter) questionOf(r *limiter.Request) (q question, err error) {
	type part struct {
		limiter.Demand
		at int // index of the status of its first limit
	}
	var parts []part
	n := 0
	for _, d := range r.Demands {
		if len(d.Limits) > 0 {
			parts = append(parts, part{d, n})
			n += len(d.Limits)
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.Subject, b.Subject) })
	q.names, q.limits = make([][]byte, 0, len(parts)), make([]asked, 0, n)
	for _, p := range parts {
		q.names = append(q.names, []byte(p.Subject))
		for i, limit := range p.Limits {
			limit.Shadow = limit.Shadow || r.Shadow
			s, err := l.shapeOf(limit)
			if err != nil {
				return q, err
			}
			q.limits = append(q.limits, asked{limit, s, p.Subject, p.at + i})
			q.keep = max(q.keep, s.keep)
		}
	}
	q.asks = pgtype.Array[int64]{
		Elements: make([]int64, 0, askNumbers*n),
		Dims:     []pgtype.ArrayDimension{{Length: int32(n), LowerBound: 1}, {Length: askNumbers, LowerBound: 1}}, Valid: true,
	}
	return q, nil
}

// ask appends what is asked of the next limit.
func (q *question) ask(most, cost int64, terms [4]int64) {
	i := len(q.asks.Elements) / askNumbers
	x := &q.limits[i]
	next := int64(0)
	if i > 0 && q.limits[i-1].subject != x.subject {
		next = 1
	}
	shadow := int64(0)
	if x.Shadow {
		shadow = 1
	}
	q.asks.Elements = append(q.asks.Elements, next, x.id, x.code, most, cost, shadow, terms[0], terms[1], terms[2], terms[3])
	q.durable = q.durable || cost != 0 && x.Period == apikey.Ever
}

// costIn returns what the request costs a limit, and whether that has a say.
func costIn(r *limiter.Request, l *apikey.Limit) (cost int64, says bool) {
	switch {
	case l.Concurrent:
		return 1, true
	case l.Unit == "":
		return min(max(r.Cost, 1), mostCost), true
	}
	return amount(r.Amounts, l.Unit)
}

func amount(all []limiter.Amount, unit string) (cost int64, named bool) {
	for _, a := range all {
		if a.Unit == unit {
			return min(a.N, mostCost), true
		}
	}
	return 0, false
}

// askAll asks for the admission of the request.
func (q *question) askAll(r *limiter.Request) {
	for i := range q.limits {
		x := &q.limits[i]
		cost, says := costIn(r, &x.Limit)
		most := int64(math.MaxInt64)
		if says {
			most = x.N - max(cost, 1)
		}
		q.ask(most, cost, x.terms)
	}
}

// askToAmend asks for the difference between what the request cost when d
// admitted it and what it is settled at. Shadows that d did not charge stay as
// they are.
func (q *question) askToAmend(r *limiter.Request, d limiter.Decision, s limiter.Settlement) error {
	shadows := q.shadowsCharged(d)
	for i := range q.limits {
		x := &q.limits[i]
		cost, says := costIn(r, &x.Limit)
		settled := min(s.Cost, mostCost)
		if x.Unit != "" {
			var named bool
			if settled, named = amount(s.Amounts, x.Unit); !named {
				settled = cost
			}
		}
		terms := x.terms
		if !says || x.Concurrent || x.Shadow && !shadows || d.At == 0 {
			settled = cost
		} else {
			var err error
			if terms[2], terms[3], err = x.leaves(d.At); err != nil {
				return err
			}
		}
		q.ask(0, settled-cost, terms)
	}
	return nil
}

// shadowsCharged reports whether the shadows of a request were charged when d
// admitted it.
func (q *question) shadowsCharged(d limiter.Decision) bool {
	return !slices.ContainsFunc(q.limits, func(x asked) bool { return x.Shadow && d.Windows[x.at].Violated })
}

// decision decodes an answer, and puts its statuses back into the request's
// order.
func (q *question) decision(answer []int64) (d limiter.Decision) {
	now := answer[0]
	d.N, d.RetryAfter = len(q.limits), time.Duration(answer[1])
	d.Allowed = d.RetryAfter == 0
	for i := range q.limits {
		x, count := &q.limits[i], answer[answerHead+3*i:]
		s := limiter.Status{Remaining: max(x.N-count[0], 0), Violated: count[2] != 0}
		if edge := count[1]; count[0] > 0 && edge != never && !x.Concurrent {
			s.Reset = time.Duration(edge - now)
		}
		d.Windows[x.at] = s
	}
	return d
}
