package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/limiter"
)

// LimiterOptions configures a [Limiter]. The zero value is ready to use.
type LimiterOptions struct {
	// Prefix begins the name of every key in Redis; default "latchkey:". It has no
	// braces.
	Prefix string
	// Timeout bounds one decision; default 50 ms, at least 1 ms.
	Timeout time.Duration
	// Credits allows quotas of apikey.Ever, which are an error otherwise, because
	// nothing makes good what the server forgets of them. Set it for a server with
	// appendonly yes and appendfsync always.
	Credits bool
	// OnceLife is how long TakeOnce remembers a request; default one hour, at
	// least one second.
	OnceLife time.Duration
	// Logger receives a message, at level Warn, when requests in progress could not
	// be renewed. Nil means [slog.Default].
	Logger *slog.Logger
}

// Limiter is a [limiter.Limiter] whose counts are in Redis or Valkey, so that
// any number of processes enforce the same limits. Make one with
// rueidisstore.NewLimiter or goredisstore.NewLimiter. It may be used
// concurrently. While requests with slots are in progress, one goroutine renews
// them, until Close.
//
// A decision is one round trip: one script, which reads and writes all subjects
// of the request in one step, by the clock of the server. The clocks of the
// processes do not matter, except that a quota needs them to agree with the
// server on the period, give or take one. Nothing is retried.
//
// The package documentation says what a crash of the server or a failover may
// forget.
type Limiter struct {
	client  Client
	prefix  string
	timeout time.Duration
	once    time.Duration
	credits bool
	log     *slog.Logger
	rules   rules
	script  script
	number  atomic.Uint64 // of the last question
	slots   slots
	closed  atomic.Bool
}

var _ limiter.Settler = (*Limiter)(nil)

// NewLimiter returns a limiter on the client, which stays the caller's. It makes
// no round trip; an error names the option that is wrong.
func NewLimiter(c Client, o LimiterOptions) (*Limiter, error) {
	if c == nil {
		return nil, errors.New("redisstore: new limiter: the client is nil")
	}
	if o.Prefix == "" {
		o.Prefix = "latchkey:"
	}
	if o.Timeout == 0 {
		o.Timeout = 50 * time.Millisecond
	}
	if o.OnceLife == 0 {
		o.OnceLife = time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch {
	case strings.ContainsAny(o.Prefix, "{}"):
		return nil, fmt.Errorf("redisstore: LimiterOptions.Prefix: %q has a brace", o.Prefix)
	case o.Timeout < time.Millisecond:
		return nil, fmt.Errorf("redisstore: LimiterOptions.Timeout: %v is less than a millisecond", o.Timeout)
	case o.OnceLife < time.Second:
		return nil, fmt.Errorf("redisstore: LimiterOptions.OnceLife: %v is less than a second", o.OnceLife)
	}
	l := &Limiter{client: c, prefix: o.Prefix, timeout: o.Timeout, once: o.OnceLife, credits: o.Credits, log: o.Logger, script: limitScript}
	l.number.Store(rand.Uint64())
	l.slots.init(limiter.SlotLife)
	return l, nil
}

// Take implements [limiter.Limiter]. If ctx has ended, the error is ctx's. If
// Redis does not answer in time, or with anything but an answer to this very
// request, the error wraps [limiter.ErrUnavailable]. A request whose answer was
// lost may have been charged; nothing else is charged without being admitted.
//
// On a cluster, the subjects of a request must share a hash tag, or the error
// wraps [limiter.ErrInvalid]: see the package documentation.
func (l *Limiter) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	return l.decide(ctx, &r, take, "")
}

// Peek implements [limiter.Limiter].
func (l *Limiter) Peek(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	return l.decide(ctx, &r, peek, "")
}

// TakeOnce is Take for a job that may be tried again, and is charged once for
// all tries: a try that was admitted is remembered by the nonce, together with
// the first subject, for LimiterOptions.OnceLife. A later one is admitted
// whatever is left, and its decision has the At and Slot of the first. A try
// that was refused is not remembered.
func (l *Limiter) TakeOnce(ctx context.Context, nonce string, r limiter.Request) (limiter.Decision, error) {
	if nonce == "" || len(nonce) > limiter.MaxSubject {
		return limiter.Decision{}, invalidf("nonce of %d bytes, 1 to %d are allowed", len(nonce), limiter.MaxSubject)
	}
	return l.decide(ctx, &r, take, nonce)
}

func (l *Limiter) decide(ctx context.Context, r *limiter.Request, about byte, nonce string) (d limiter.Decision, err error) {
	c, err := l.check(r)
	if err != nil {
		return d, err
	}
	if err := l.open(ctx); err != nil {
		return d, err
	}
	if len(c.all) == 0 {
		d.Allowed = true
		return d, nil
	}
	slot, now := l.slots.next(), time.Now()
	q := newQuestion(about, l.number.Add(1)&(1<<48-1), 0, len(c.subjects))
	for _, parts := range c.parts {
		q = append(q, byte(len(parts)))
		for _, p := range parts {
			if q, err = q.part(p, now, slot, l.slots.life); err != nil {
				return d, fmt.Errorf("%w: redisstore: %w", limiter.ErrInvalid, err)
			}
		}
	}
	var once []string
	if nonce != "" {
		q = q.put(8, slot).put(6, uint64(l.once.Milliseconds()))
		once = []string{l.onceKey(c.subjects[0], nonce)}
	}
	a, err := l.ask(ctx, &c, q, once)
	if err != nil {
		return d, err
	}
	d = a.decision(&c, about == take)
	if about == take && d.Allowed {
		if d.At = a.at; a.slot != 0 {
			slot = a.slot
		}
		if places := l.places(&c, &d); len(places) > 0 {
			d.Slot = slot
			l.slots.hold(l, slot, places)
		}
	}
	return d, nil
}

// Settle implements [limiter.Settler], in one round trip. If it fails and the
// request is over, its slots are free within [limiter.SlotLife].
func (l *Limiter) Settle(ctx context.Context, r limiter.Request, d limiter.Decision, s limiter.Settlement) (after limiter.Decision, err error) {
	c, err := l.check(&r)
	if err == nil {
		err = c.settled(&d, &s)
	}
	if err != nil {
		return after, err
	}
	slot := uint64(0)
	if s.Over {
		slot = d.Slot
		l.slots.release(slot) // whatever ctx says: it would be renewed for ever
	}
	if err := l.open(ctx); err != nil {
		return after, err
	}
	after.Allowed, after.At, after.N = true, d.At, len(c.all)
	if !s.Over {
		after.Slot = d.Slot
	}
	if len(c.all) == 0 {
		return after, nil
	}
	q := newQuestion(settle, l.number.Add(1)&(1<<48-1), d.At, len(c.subjects))
	for _, parts := range c.parts {
		q = append(q, byte(len(parts)))
		for _, p := range parts {
			if q, err = q.settlement(p, d.At, slot, l.slots.life); err != nil {
				return limiter.Decision{}, fmt.Errorf("%w: redisstore: %w", limiter.ErrInvalid, err)
			}
		}
	}
	a, err := l.ask(ctx, &c, q, nil)
	if err != nil {
		return limiter.Decision{}, err
	}
	for i := range c.all {
		after.Windows[i] = c.all[i].status(a.counts[i])
		after.Windows[i].Violated = c.all[i].shadow && d.Windows[i].Violated
	}
	return after, nil
}

// ask sends a question and checks that the answer is one to it.
func (l *Limiter) ask(ctx context.Context, c *checked, q question, once []string) (a answer, err error) {
	keys := make([]string, 0, len(c.subjects)+1)
	for _, s := range c.subjects {
		keys = append(keys, l.key(s))
	}
	keys = append(keys, once...)
	if l.client.Cluster() {
		for _, k := range keys[1:] {
			if slotOf(k) != slotOf(keys[0]) {
				return a, errTags
			}
		}
	}
	bounded, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	reply := l.script.run(bounded, l.client, Call{Keys: keys, Arg: string(q)})[0]
	if err = reply.Err; err == nil {
		a, err = decode(reply.Value, q.number(), c.all, len(once) > 0)
	}
	if err != nil {
		return a, unavailable(ctx, err)
	}
	return a, nil
}

var errTags = invalidf("the subjects of a request must have one hash tag on a cluster, such as {acme}key and {acme}owner: only then are they on one server")

// unavailable wraps the reason why no decision could be made. A time limit of
// this package is not a context's error, because callers believe that one comes
// from themselves.
func unavailable(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	switch {
	case strings.HasPrefix(err.Error(), "CROSSSLOT"):
		return errTags
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: redisstore: %v", limiter.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: redisstore: %w", limiter.ErrUnavailable, err)
}

func (l *Limiter) open(ctx context.Context) error {
	if l.closed.Load() {
		return limiter.ErrClosed
	}
	return ctx.Err()
}

// Close ends the limiter, and waits for its goroutine, or until ctx ends. What
// has a slot then keeps it for at most [limiter.SlotLife]. The client stays
// open.
func (l *Limiter) Close(ctx context.Context) error {
	l.closed.Store(true)
	return l.slots.close(ctx)
}
