package limiter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// SharedOptions configure a [Shared]. The zero value is fine for up to four
// instances.
type SharedOptions struct {
	// Instances is how many processes share the limits. It divides the limits
	// while the shared limiter is down: if it is too low, more than N are admitted
	// then. 0 means 4; negative is an error.
	Instances int
	// Strict returns [ErrUnavailable] while the shared limiter does not answer. By
	// default an instance then admits N / Instances, rounded down, counting what
	// it has admitted itself; [Shared] says what that guarantees.
	Strict bool
	// Timeout is how long one call of the shared limiter may take before it
	// counts as failed. 0 means 50 ms; negative is an error.
	Timeout time.Duration
	// Logger receives a message when the shared limiter stops answering and when
	// it answers again. nil means [slog.Default].
	Logger *slog.Logger
}

// Shared is a [Limiter] in front of one that several processes share, such as a
// database's. Each process has a Shared of its own. It adds what a process needs
// when the other side is slow, away, or asked too often. All methods are safe
// for concurrent use. It starts no goroutine and needs no Close.
//
// A decision is one call of the shared limiter, with a deadline. Only a refusal
// is remembered, for the same request, until its RetryAfter has passed and for
// at most a second: so a flood over the limit costs one call a second, and is
// told the exact time that is left. A refusal is forgotten when this process
// settles a request of one of its subjects. What other processes give back, and
// a slot that becomes free, is seen within the second; other limits are another
// request. [Unknown] is not remembered.
//
// When the shared limiter fails, it is left alone for a while, and then asked
// again by one call at a time. Meanwhile, by default, each instance admits up
// to its share of each limit, counting what it admitted before. So, in any
// interval of a window's length:
//
//   - if everything admitted in it was admitted without the shared limiter, it
//     is at most N;
//   - while no instance has found the way back, it is at most what each
//     instance admitted before or its share, whichever is more: N if the load
//     was even, and below 2N in any case;
//   - otherwise it is at most N plus one share for each instance that was cut
//     off: the shared limiter never learns what was admitted without it.
//
// The same holds for the periods of quotas. Requests in progress are at most N
// from before, and N more from all shares together. If even that is too much,
// use [SharedOptions.Strict]. A request that costs more than the share, any
// request if the share is 0, and any that a quota of [apikey.Ever] takes part in
// gets [ErrUnavailable].
type Shared struct {
	shared   Limiter
	own      *Window // what this instance admitted; nil if Strict
	base     time.Time
	many     int64
	timeout  time.Duration
	breaker  breaker
	refusals refusals

	asked, remembered, alone atomic.Uint64
}

var _ Settler = (*Shared)(nil)

// NewShared returns a limiter in front of the shared one, which it does not
// close. An error names the field that is wrong.
func NewShared(shared Limiter, o SharedOptions) (*Shared, error) {
	switch {
	case shared == nil:
		return nil, invalidf("the shared limiter is nil")
	case o.Instances < 0:
		return nil, invalidf("SharedOptions.Instances %d is negative", o.Instances)
	case o.Timeout < 0:
		return nil, invalidf("SharedOptions.Timeout %v is negative", o.Timeout)
	}
	if o.Instances == 0 {
		o.Instances = 4
	}
	if o.Timeout == 0 {
		o.Timeout = 50 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Shared{shared: shared, base: time.Now(), many: int64(o.Instances), timeout: o.Timeout}
	s.breaker.log = o.Logger
	s.refusals.init()
	if !o.Strict {
		var err error
		if s.own, err = New(Options{Logger: o.Logger}); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Degraded returns why decisions are made without the shared limiter: the newest
// failure, until a call of it succeeds. It is nil while the shared limiter answers.
func (s *Shared) Degraded() error { return s.breaker.degraded() }

// Decisions counts how decisions were made since the start: by asking the shared
// limiter, by a refusal that was remembered, and without the shared limiter.
func (s *Shared) Decisions() (asked, remembered, alone uint64) {
	return s.asked.Load(), s.remembered.Load(), s.alone.Load()
}

// now returns nanoseconds on the monotonic clock.
func (s *Shared) now() int64 { return int64(time.Since(s.base)) }

// Take implements [Limiter]. An error wraps [ErrUnavailable] if the shared
// limiter does not answer and the share cannot answer either, or if the context
// ended; [ErrInvalid] and [ErrClosed] from the shared limiter are returned
// unchanged.
func (s *Shared) Take(ctx context.Context, r Request) (Decision, error) {
	return s.decide(ctx, r, s.shared.Take, true)
}

// Peek implements [Limiter].
func (s *Shared) Peek(ctx context.Context, r Request) (Decision, error) {
	return s.decide(ctx, r, s.shared.Peek, false)
}

func (s *Shared) decide(ctx context.Context, r Request, call func(context.Context, Request) (Decision, error), charge bool) (Decision, error) {
	q := s.refusals.of(&r)
	sent := s.now()
	d, refused := q.recall(sent)
	if f := q.known(); !refused && f.recent(sent) {
		defer f.wait(ctx, s.timeout)()
		q, sent = s.refusals.of(&r), s.now()
		d, refused = q.recall(sent)
	}
	if refused {
		s.remembered.Add(1)
		return d, nil
	}
	d, down, err := s.ask(ctx, false, func(ctx context.Context) (Decision, error) { return call(ctx, r) })
	switch {
	case down:
		return s.decideAlone(ctx, r, charge, err)
	case err != nil:
		return Decision{}, err
	}
	s.asked.Add(1)
	if !d.Allowed {
		q.remember(d, sent, s.now())
	} else if charge && s.own != nil {
		s.record(ctx, r)
	}
	return d, nil
}

var errPanic = errors.New("the shared limiter panicked")

// ask makes one call of the shared limiter, unless it is left alone and the call
// need not be made. It reports whether the limiter is down; then the error says
// why.
func (s *Shared) ask(ctx context.Context, must bool, call func(context.Context) (Decision, error)) (d Decision, down bool, err error) {
	if err := ctx.Err(); err != nil && !must {
		return d, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	probe, err := s.breaker.admit(s.now())
	if err != nil && !must {
		return d, true, err
	}
	returned := false
	defer func() {
		if !returned {
			s.breaker.fail(s.now(), probe, errPanic)
		}
	}()
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	d, err = call(bounded)
	returned = true
	switch {
	case err == nil || errors.Is(err, ErrInvalid) || errors.Is(err, ErrClosed) || errors.Is(err, errors.ErrUnsupported):
		s.breaker.succeed()
		return d, false, err
	case ctx.Err() != nil: // the caller gave up, which says nothing about the limiter
		s.breaker.abandon(probe)
		return d, false, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	return d, true, s.breaker.fail(s.now(), probe, err)
}

// decideAlone decides by the share of this instance.
func (s *Shared) decideAlone(ctx context.Context, r Request, charge bool, down error) (d Decision, err error) {
	if s.own == nil {
		return d, down
	}
	if err := s.share(&r); err != nil {
		return d, fmt.Errorf("%w: %w", err, down)
	}
	if !charge {
		return s.own.Peek(ctx, r)
	}
	s.alone.Add(1)
	d, err = s.own.Take(ctx, r)
	d.At = -d.At // the sign tells Settle that this instance decided
	return d, err
}

// share replaces the limits with this instance's share of them. The error says
// why the share can never admit the request, or must not.
func (s *Shared) share(r *Request) (err error) {
	r.Demands = slices.Clone(r.Demands)
	for i := range r.Demands {
		q := &r.Demands[i]
		q.Limits = slices.Clone(q.Limits)
		for j := range q.Limits {
			l := &q.Limits[j]
			cost := r.costs(l)
			if l.N /= s.many; cost == uninvolved || r.Shadow || l.Shadow {
				l.N = max(l.N, 1)
				continue
			}
			switch {
			case l.Period == apikey.Ever:
				err = fmt.Errorf("the credit %q is not charged without the shared limiter", l.Name)
			case l.N < max(cost, 1):
				err = fmt.Errorf("cost %d is above the share of limit %q of this instance", cost, l.Name)
			}
		}
	}
	return err
}

// record counts an admitted request in the windows and quotas of this instance.
// Those that are already full count enough for any share.
func (s *Shared) record(ctx context.Context, r Request) {
	if slices.ContainsFunc(r.Demands, func(q Demand) bool { return slices.ContainsFunc(q.Limits, concurrent) }) {
		r.Demands = slices.Clone(r.Demands)
		for i := range r.Demands {
			q := &r.Demands[i]
			q.Limits = slices.DeleteFunc(slices.Clone(q.Limits), concurrent)
		}
	}
	for i := range r.Demands {
		one := r
		one.Demands = r.Demands[i : i+1]
		_, _ = s.own.Take(ctx, one)
	}
}

func concurrent(l apikey.Limit) bool { return l.Concurrent }

// Settle implements [Settler]. It makes one call of the shared limiter, which
// must be a Settler, otherwise the error wraps [errors.ErrUnsupported]. While the
// shared limiter is left alone, it is called only for a request that is over and
// has a slot: it would renew the slot for ever.
//
// What was admitted without the shared limiter is settled in this instance.
// What was admitted with it keeps its original cost in the share of this
// instance, in case the shared limiter goes away.
func (s *Shared) Settle(ctx context.Context, r Request, d Decision, t Settlement) (after Decision, err error) {
	if d.At < 0 {
		_ = s.share(&r) // it was admitted, and may have been settled above the share
		d.At = -d.At
		after, err = s.own.Settle(ctx, r, d, t)
		after.At = -after.At
		return after, err
	}
	shared, ok := s.shared.(Settler)
	if !ok {
		return after, fmt.Errorf("limiter: the shared limiter cannot settle: %w", errors.ErrUnsupported)
	}
	defer s.refusals.forget(&r) // after an error, too: it may have been settled
	after, _, err = s.ask(ctx, t.Over && d.Slot != 0, func(ctx context.Context) (Decision, error) { return shared.Settle(ctx, r, d, t) })
	if err != nil {
		return Decision{}, err
	}
	return after, nil
}
