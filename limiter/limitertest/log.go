package limitertest

import (
	"context"
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // quotas have zones, wherever the suite runs

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// Log is the exact limiter of all kinds of limits, slow and obviously right: it
// remembers what was charged, and adds it up for every decision. No limiter
// that keeps the limits admits more of the same arrivals at sustained overload.
// Its requests in progress end when they are settled as over. The zero Log is
// ready to use.
type Log struct {
	mu       sync.Mutex
	past     history
	admitted []paid // At and Slot of a decision are an index, from 1
	skew     time.Duration
}

var _ limiter.Settler = (*Log)(nil)

func (l *Log) now() time.Time { return time.Now().Add(l.skew).Round(0) }

// Take implements [limiter.Limiter].
func (l *Log) Take(ctx context.Context, r limiter.Request) (d limiter.Decision, err error) {
	if err := first(ctx.Err(), checkRequest(r)); err != nil {
		return d, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	d = l.past.decide(r, now, exactly)
	if !d.Allowed {
		return d, nil
	}
	p := l.past.charge(r, d, now, now)
	l.admitted = append(l.admitted, p)
	d.At = int64(len(l.admitted))
	each(r, func(i int, _ count, limit apikey.Limit) {
		if limit.Concurrent && p[i] != nil {
			d.Slot = uint64(d.At)
		}
	})
	l.past.report(r, now, &d)
	return d, nil
}

// Peek implements [limiter.Limiter].
func (l *Log) Peek(ctx context.Context, r limiter.Request) (d limiter.Decision, err error) {
	if err := first(ctx.Err(), checkRequest(r)); err != nil {
		return d, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.past.decide(r, l.now(), exactly), nil
}

// Settle implements [limiter.Settler].
func (l *Log) Settle(ctx context.Context, r limiter.Request, d limiter.Decision, s limiter.Settlement) (after limiter.Decision, err error) {
	if err := first(ctx.Err(), checkRequest(r), checkSettlement(r, s)); err != nil {
		return after, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.At > 0 && d.At <= int64(len(l.admitted)) {
		l.admitted[d.At-1].settle(r, s)
	}
	if s.Over && d.Slot > 0 && d.Slot <= uint64(len(l.admitted)) {
		l.admitted[d.Slot-1].end(r)
	}
	after = limiter.Decision{Allowed: true, N: limits(r), At: d.At, Slot: d.Slot}
	l.past.report(r, l.now(), &after)
	return after, nil
}

// first returns the first error.
func first(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", limiter.ErrInvalid, fmt.Sprintf(format, args...))
}

// checkRequest says what is wrong with a request.
func checkRequest(r limiter.Request) error {
	if r.Cost < 0 {
		return wrong("Cost %d is negative", r.Cost)
	}
	if err := checkAmounts(r.Amounts); err != nil {
		return err
	}
	if len(r.Demands) > mostDemands || limits(r) > limiter.MaxWindows {
		return wrong("%d Demands with %d Limits", len(r.Demands), limits(r))
	}
	named := map[string]bool{}
	for _, q := range r.Demands {
		if len(q.Limits) == 0 {
			continue
		}
		if q.Subject == "" || len(q.Subject) > limiter.MaxSubject || named[q.Subject] {
			return wrong("Subject of %d bytes, or not the first of its name", len(q.Subject))
		}
		named[q.Subject] = true
		for i, l := range q.Limits {
			for _, o := range q.Limits[:i] {
				if l.Same(o) {
					return wrong("Limits: %q twice", l.Name)
				}
			}
			if l.Name == "" {
				l.Name = "none"
			}
			if err := l.Validate(); err != nil {
				return wrong("%v", err)
			}
		}
	}
	return nil
}

func checkAmounts(all []limiter.Amount) error {
	if len(all) > limiter.MaxAmounts {
		return wrong("%d Amounts", len(all))
	}
	named := map[string]bool{}
	for _, a := range all {
		if a.N < 0 || named[a.Unit] {
			return wrong("Amounts: %d of %q is negative, or the second of its Unit", a.N, a.Unit)
		}
		named[a.Unit] = true
	}
	return nil
}

func checkSettlement(r limiter.Request, s limiter.Settlement) error {
	if s.Cost < 0 {
		return wrong("Cost %d is negative", s.Cost)
	}
	if err := checkAmounts(s.Amounts); err != nil {
		return err
	}
	for _, a := range s.Amounts {
		known := false
		for _, b := range r.Amounts {
			known = known || a.Unit == b.Unit
		}
		if !known {
			return wrong("Amounts: the request names no %q", a.Unit)
		}
	}
	return nil
}
