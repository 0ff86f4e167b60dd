package pgstore

import (
	"cmp"
	"slices"
	"time"

	"github.com/wontopos/latchkey/limiter"
)

// question is a request as the server wants it: the subjects in the order of
// their bytes, which is the order of their locks, and the limits in the same
// order.
type question struct {
	names         [][]byte
	counts        []int32 // limits of each subject
	lengths, most []int64
	at            []int // where the status of each limit belongs in the decision
}

func questionOf(r *limiter.Request) (q question) {
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
	for _, p := range parts {
		q.names, q.counts = append(q.names, []byte(p.Subject)), append(q.counts, int32(len(p.Limits)))
		for i, l := range p.Limits {
			q.lengths, q.most = append(q.lengths, int64(l.Window/time.Second)), append(q.most, l.N)
			q.at = append(q.at, p.at+i)
		}
	}
	return q
}

// decision decodes an answer and puts its statuses back into the request's
// order.
func (q *question) decision(answer []int64) (d limiter.Decision) {
	d.N, d.RetryAfter = len(q.at), time.Duration(answer[0])
	if d.Allowed = d.RetryAfter == 0; d.RetryAfter < 0 {
		d.RetryAfter = limiter.Never
	}
	for i, at := range q.at {
		s := answer[2+3*i:]
		d.Windows[at] = limiter.Status{Remaining: s[0], Reset: time.Duration(s[1]), Violated: s[2] != 0}
	}
	return d
}
