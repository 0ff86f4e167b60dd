package limiter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

const (
	// MaxWindows is how many limits one [Request] may name, in all of its demands
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
// A demand without limits asks for nothing, whatever its subject.
type Demand struct {
	Subject string         // 1 to MaxSubject bytes
	Limits  []apikey.Limit // at most apikey.MaxLimits, within its bounds, no window length twice
}

// Request asks for one admission. The caller keeps ownership of the slices and
// strings: a limiter copies what it keeps, and their memory may be reused as
// soon as the call has returned.
type Request struct {
	// Demands are decided and charged in one atomic step, such as those of a key
	// and of its owner: at most 4, each for another subject, with at most
	// MaxWindows limits in all. Name the subject that fewest requests share first.
	Demands []Demand
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
	// Windows holds N statuses: one for each limit, in the order of the demands
	// and of their limits.
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
// A request is admitted by all windows of all demands or refused as a whole,
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
