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
	// MaxAmounts is how many units one [Request] may name.
	MaxAmounts = 4
	// SlotLife is how long a limiter that several processes share holds a slot of
	// a limit on requests in progress for a process that has died. A process that
	// lives renews its slots, so a request may last as long as it likes.
	SlotLife = 15 * time.Second
	// MaxSubject is the maximum length of a subject, in bytes.
	MaxSubject = 512
	// Never is the [Decision.RetryAfter] of a request that no wait will admit: it
	// costs more than the N of one of its limits, or a quota of [apikey.Ever] is
	// used up.
	Never time.Duration = -1
	// Unknown is the [Decision.RetryAfter] of a request that is refused by a limit
	// on requests in progress: nobody knows when one of them ends.
	Unknown time.Duration = -2
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
	Subject string // 1 to MaxSubject bytes
	// Limits are within their bounds ([apikey.Limit.Validate]), though a name may
	// be empty here, and no two of them are the same ([apikey.Limit.Same]). A
	// subject may be asked for different limits each time. Those that a request
	// does not name are not charged, and keep their counts.
	Limits []apikey.Limit
}

// Amount is how much of a unit a request costs.
type Amount struct {
	Unit string
	N    int64 // 0 asks whether anything is left, and charges nothing; negative is an error
}

// Request asks for one admission. The caller keeps ownership of the slices and
// strings: a limiter copies what it keeps, and their memory may be reused as
// soon as the call has returned.
type Request struct {
	// Demands are decided and charged in one atomic step, such as those of a key
	// and of its owner: at most 4, each for another subject, with at most
	// MaxWindows limits in all. Name the subject that fewest requests share first.
	Demands []Demand
	// Cost is charged to every window and quota without a unit. 0 means 1;
	// negative is an error.
	Cost int64
	// Amounts are charged to the limits that have their units: at most MaxAmounts,
	// each unit once. A limit whose unit is not named has no say, and is reported
	// as it is.
	Amounts []Amount
	// Shadow makes all limits shadows, which refuse nobody.
	Shadow bool
}

// Status is the state of one limit after a decision.
type Status struct {
	// Remaining is what the limit would still admit now. It is never negative.
	Remaining int64
	// Reset is the time until the oldest counted hit leaves the window, or until
	// the period of the quota ends; 0 if nothing is counted, for a quota of
	// [apikey.Ever], and for requests in progress.
	Reset time.Duration
	// Violated says that this limit did not admit the request.
	Violated bool
}

// Decision answers a [Request]. It contains no pointers and belongs to the
// caller.
//
// Shadows ([apikey.Limit.Shadow]) never make Allowed false. They are charged
// only if the request is allowed and none of them is violated: as they would be
// if they were in force.
type Decision struct {
	Allowed bool
	// RetryAfter is 0 if the request was allowed. Otherwise it is the exact time
	// after which the same request is admitted if nobody else uses the subjects in
	// between: that long is enough, and nothing shorter is. It is not rounded to
	// seconds. A negative value is [Never] or, if only that stands in the way of a
	// wait, [Unknown].
	RetryAfter time.Duration
	// Windows holds N statuses: one for each limit, in the order of the demands
	// and of their limits.
	Windows [MaxWindows]Status
	N       int
	// At is when the request was charged, and Slot names its place among the
	// requests in progress; 0 if it has none. They are for [Settler]: only the
	// limiter that set them can interpret them.
	At   int64
	Slot uint64
}

// String describes the decision in one line, for logs and tests.
func (d Decision) String() string {
	var b strings.Builder
	switch {
	case d.Allowed:
		b.WriteString("allowed")
	case d.RetryAfter == Unknown:
		b.WriteString("refused until another request ends")
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

// Limiter decides requests against exact limits.
//
// The guarantee, for each limit and any arrivals: a window's hits in any
// interval of its length cost at most N in total, those of a quota in one
// period at most N, and at most N requests are in progress. A window of at most
// 128 is exact in both directions: a hit leaves it exactly one window after it
// was admitted, so a client that keeps to the limit is never refused. In a
// larger one, a hit counts at most one segment longer (package documentation).
//
// A request is admitted by all limits of all demands or refused as a whole, and
// a refused request is not charged anywhere. Subjects share nothing.
//
// A limit is identified on its subject as [apikey.Limit.Same] says. When its N
// changes, its count stays, and is compared with the new N from the next
// request on. A new limit starts from zero.
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
