package redisstore

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// What a question is about.
const (
	peek   = 0
	take   = 1
	settle = 2
	renew  = 3
)

// A question is packed big-endian:
//
//	1 what it is about, 6 its number, 7 the instant of the charge (settle), 1 how many subjects
//	for each subject:
//	  1 how many limits
//	  for each: 6 id, 1 kind and flags, 7 N, 7 cost, or the difference of a settlement
//	    of a window: 7 the length of a cell, 7 how many count
//	    of a quota:  7 begin and 7 end of the period before, 7 the end of this one and 7 of the next;
//	                 to settle: 7 the end of the period of the charge, 7 zero
//	    concurrent:  7 how many requests follow, 7 how long they count in ms, and 8 for each
//	of a request that is taken once: 8 its name among those in progress, 6 how long to remember it in ms
//
// All times are in microseconds since 1970 if nothing else is said.
type question []byte

func newQuestion(about byte, number uint64, at int64, subjects int) question {
	q := make(question, 0, 256)
	q = append(q, about)
	return append(q.put(6, number).put(7, uint64(at)), byte(subjects))
}

// put appends the last n bytes of a number.
func (q question) put(n int, v uint64) question {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return append(q, b[8-n:]...)
}

func (q question) number() (v uint64) {
	for _, b := range q[1:7] {
		v = v<<8 | uint64(b)
	}
	return v
}

func (q question) rule(r *rule, flags byte, cost, first, second int64) question {
	q = append(q.put(6, r.id), r.kind|flags).put(7, uint64(r.n))
	return q.put(7, uint64(cost)).put(7, uint64(first)).put(7, uint64(second))
}

// part appends one limit of a request that is not settled.
func (q question) part(p *part, now time.Time, slot uint64, life time.Duration) (question, error) {
	flags := byte(0)
	if p.shadow {
		flags |= inShadow
	}
	if p.idle {
		flags |= notAsked
	}
	switch p.kind {
	case quota:
		around, err := p.calendar.around(now)
		if err != nil {
			return q, err
		}
		q = q.rule(p.rule, flags, p.cost, around.before, around.from)
		return q.put(7, uint64(around.end)).put(7, uint64(around.next)), nil
	case concurrent:
		return q.rule(p.rule, flags, p.cost, 1, life.Milliseconds()).put(8, slot), nil
	}
	return q.rule(p.rule, flags, p.cost, p.unit, p.k), nil
}

// settlement appends one limit of a request that is settled. Its slot is freed
// if that is not 0.
func (q question) settlement(p *part, at int64, slot uint64, life time.Duration) (question, error) {
	flags := byte(0)
	if p.idle {
		flags, slot = notAsked, 0
	}
	cost := p.cost
	if p.idle {
		cost = 0
	}
	switch p.kind {
	case quota:
		end, err := p.calendar.endOf(at)
		return q.rule(p.rule, flags, cost, end, 0), err
	case concurrent:
		if slot == 0 {
			return q.rule(p.rule, flags, 0, 0, life.Milliseconds()), nil
		}
		return q.rule(p.rule, flags, 0, 1, life.Milliseconds()).put(8, slot), nil
	}
	return q.rule(p.rule, flags, cost, p.unit, p.k), nil
}

// An answer is packed big-endian:
//
//	6 the number of the question, 7 the wait in µs or one of the below, 7 the instant of the charge
//	for each limit: 7 what it counts, 7 until that begins to leave, in µs; plus 2^52 if it refuses
//	of a request that is taken once: 8 its name among those in progress
//
// What is counted is that before the request, and after a settlement.
type answer struct {
	wait   int64
	at     int64
	counts [limiter.MaxWindows]count
	slot   uint64
}

type count struct {
	sum, reset int64
	violated   bool
}

const (
	waitNever   = 9e15
	waitUnknown = 8e15
	waitEarlier = 7e15 // none: it was admitted by an earlier call
)

var (
	errShape  = errors.New("the answer is not one of this script")
	errNumber = errors.New("the answer is to another question: the connection mixes up replies")
)

func decode(s string, number uint64, parts []part, once bool) (a answer, err error) {
	want := 20 + 14*len(parts)
	if once {
		want += 8
	}
	if len(s) != want {
		return a, errShape
	}
	get := func(n int) (v uint64) {
		for _, b := range []byte(s[:n]) {
			v = v<<8 | uint64(b)
		}
		s = s[n:]
		return v
	}
	if get(6) != number {
		return a, errNumber
	}
	a.wait, a.at = int64(get(7)), int64(get(7))
	refused := false
	for i := range parts {
		c := &a.counts[i]
		c.sum = int64(get(7))
		reset := get(7)
		c.violated, c.reset = reset>>52 != 0, int64(reset&(1<<52-1))
		if c.sum > 2*mostCost || reset>>53 != 0 {
			return a, errShape
		}
		refused = refused || c.violated && !parts[i].shadow
	}
	if refused != (a.wait > 0) && a.wait != waitEarlier {
		return a, errShape
	}
	if once {
		a.slot = get(8)
	}
	return a, nil
}

// decision turns the answer to a Take or Peek into a decision.
func (a *answer) decision(c *checked, taken bool) (d limiter.Decision) {
	d.N, d.Allowed = len(c.all), true
	switch {
	case a.wait == waitNever:
		d.Allowed, d.RetryAfter = false, limiter.Never
	case a.wait == waitUnknown:
		d.Allowed, d.RetryAfter = false, limiter.Unknown
	case a.wait == waitEarlier:
		taken = false
	case a.wait > 0:
		d.Allowed, d.RetryAfter = false, time.Duration(a.wait)*time.Microsecond
	}
	doubt := false
	for i, p := range c.all {
		doubt = doubt || p.shadow && a.counts[i].violated
	}
	for i := range c.all {
		p, n := &c.all[i], a.counts[i]
		if taken && d.Allowed && !p.idle && !(p.shadow && doubt) {
			n.sum += p.cost
		}
		d.Windows[i] = p.status(n)
		if a.wait == waitEarlier {
			d.Windows[i].Violated = false
		}
	}
	return d
}

func (p *part) status(n count) (s limiter.Status) {
	s.Remaining, s.Violated = max(p.n-n.sum, 0), n.violated
	if n.sum > 0 && p.kind != concurrent && p.limit.Period != apikey.Ever {
		s.Reset = time.Duration(n.reset) * time.Microsecond
	}
	return s
}
