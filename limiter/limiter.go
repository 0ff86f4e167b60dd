package limiter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// Limit allows at most N units of cost in any interval of length Window.
type Limit = apikey.Limit

const (
	// MaxWindows is how many windows one [Request] may name, both demands
	// together.
	MaxWindows = 8
	// MaxSubject is the maximum length of a subject, in bytes.
	MaxSubject = 512
	// Never is the [Decision.RetryAfter] of a request that costs more than the N
	// of one of its windows: it will never be admitted.
	Never time.Duration = -1
)

// The errors of a [Limiter], found with errors.Is. Whatever the error, nothing
// was charged.
var (
	// ErrInvalid says that the request itself is wrong: a negative cost, a limit
	// without a subject, a limit out of bounds. It is a mistake in the program or
	// its configuration, and trying again does not help.
	ErrInvalid = errors.New("limiter: invalid request")
	// ErrUnavailable says that the state could not be read or written. It
	// wraps the cause. The request was neither admitted nor refused.
	ErrUnavailable = errors.New("limiter: state unavailable")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("limiter: closed")
)

// Demand is one subject and the limits on its use.
//
// Subject is compared byte for byte and may contain any bytes. Callers that
// limit several kinds of subject (keys, owners) give each kind its own prefix.
// A demand without limits asks for nothing, whatever its subject. The caller
// keeps ownership of the strings and the slice: a limiter copies what it keeps,
// and their memory may be reused as soon as the call has returned.
type Demand struct {
	Subject string  // 1 to MaxSubject bytes
	Limits  []Limit // within the bounds of package apikey, no window length twice
	Slot    *Slot   // optional: saves a Window the look-up of Subject
}

// Slot remembers where a [Window] keeps the state of one subject. A caller with
// a place of its own for each subject puts a Slot there; the zero value is
// ready to use. A Slot must serve only one subject of one Window and must not
// be copied. It may be used concurrently and thrown away at any time. Other
// limiters ignore it. It is an [atomic.Value], so that a package that does not
// import this one can provide the place.
type Slot = atomic.Value

// Request asks for one admission.
type Request struct {
	// Demand is the key and its limits.
	Demand
	// Also is a second subject that is decided and charged in the same atomic
	// step, such as the owner of the key. The zero value means none. It must not
	// be the subject of the first demand.
	Also Demand
	// Cost is charged to every window. 0 means 1; negative is an error.
	Cost int64
}

// Status is the state of one window after a decision.
type Status struct {
	// Remaining is the cost that the window would still admit now. It is
	// never negative.
	Remaining int64
	// Reset is the time until the oldest counted hit leaves the window, or 0 if
	// nothing is counted.
	Reset time.Duration
	// Violated says that this window did not admit the request.
	Violated bool
}

// Decision answers a [Request]. It contains no pointers and belongs to the
// caller.
type Decision struct {
	Allowed bool
	// RetryAfter is 0 if the request was allowed. Otherwise it is the exact time
	// after which the same request is admitted if nobody else uses the subjects in
	// between: that long is enough, and nothing shorter is. It is not rounded to
	// seconds. [Never], or any negative value, means that waiting does not help.
	RetryAfter time.Duration
	// Windows holds N statuses: those of Request.Limits in their order, then
	// those of Request.Also.Limits.
	Windows [MaxWindows]Status
	N       int
	// At is when the request was charged, for [Settler]; 0 if it was not. Only the
	// limiter that set it can interpret it.
	At int64
}

// String describes the decision in one line, for logs and tests.
func (d Decision) String() string {
	var b strings.Builder
	switch {
	case d.Allowed:
		b.WriteString("allowed")
	case d.RetryAfter < 0:
		b.WriteString("refused for ever")
	default:
		fmt.Fprintf(&b, "refused for %v", d.RetryAfter)
	}
	for _, s := range d.Windows[:d.N] {
		fmt.Fprintf(&b, ", %d remaining (reset %v)", s.Remaining, s.Reset)
		if s.Violated {
			b.WriteString(" violated")
		}
	}
	return b.String()
}

// Limiter decides requests against exact sliding windows.
//
// The guarantee, for each limit: the hits admitted in any interval of the
// window's length cost at most N in total, for any arrival pattern. Hits count
// for at least the window and at most one segment longer (package
// documentation). A hit counts in the windows that its request named.
//
// A request is admitted by all windows of both demands or refused as a whole,
// and a refused request is not charged anywhere. Subjects share nothing.
//
// When the limits of a subject change, windows of the same length keep their
// counts. A window whose N falls below its count refuses until it has drained.
//
// A limiter that needs no I/O for a decision ignores the context. One that does
// returns an error that wraps the context's if the context has ended.
//
// Implementations are safe for concurrent use. Package limitertest checks these
// rules.
type Limiter interface {
	// Take decides the request and, if it is allowed, charges it, in one atomic
	// step.
	Take(ctx context.Context, r Request) (Decision, error)
	// Peek returns what Take would decide, and charges nothing: Remaining is what
	// is left before the request.
	Peek(ctx context.Context, r Request) (Decision, error)
}

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// check reports what is wrong with the request, except for the bounds of its
// limits, and what it costs. It runs on every call.
func (r *Request) check() (cost int64, err error) {
	if r.Cost < 0 {
		return 0, invalidf("cost %d is negative", r.Cost)
	}
	if n := len(r.Limits) + len(r.Also.Limits); n > MaxWindows {
		return 0, invalidf("%d windows, at most %d are allowed", n, MaxWindows)
	}
	if err := r.Demand.checkSubject(); err != nil {
		return 0, err
	}
	if len(r.Also.Limits) > 0 {
		if err := r.Also.checkSubject(); err != nil {
			return 0, err
		}
		if len(r.Limits) > 0 && r.Subject == r.Also.Subject {
			return 0, invalidf("both demands name the same subject")
		}
	}
	return max(r.Cost, 1), nil
}

func (d *Demand) checkSubject() error {
	if len(d.Limits) == 0 {
		return nil
	}
	if d.Subject == "" {
		return invalidf("limits without a subject")
	}
	if len(d.Subject) > MaxSubject {
		return invalidf("subject of %d bytes, at most %d are allowed", len(d.Subject), MaxSubject)
	}
	return nil
}

// checkLimits reports limits out of bounds. It runs when a subject is used with
// limits under which it has not been decided before.
func checkLimits(limits []Limit) error {
	for i, l := range limits {
		if l.N < 1 || l.N > apikey.MaxLimitN {
			return invalidf("limit %q: N %d is not between 1 and %d", l.Name, l.N, int64(apikey.MaxLimitN))
		}
		if l.Window < time.Second || l.Window > apikey.MaxLimitWindow || l.Window%time.Second != 0 {
			return invalidf("limit %q: window %v is not a whole number of seconds between 1s and %v", l.Name, l.Window, apikey.MaxLimitWindow)
		}
		for _, o := range limits[:i] {
			if o.Window == l.Window {
				return invalidf("limits %q and %q have the same window %v", o.Name, l.Name, l.Window)
			}
		}
	}
	return nil
}
