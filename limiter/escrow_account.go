package limiter

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// account is what one instance holds for one subject. mu guards everything but
// the subject.
//
// Invariant: left is charged to the windows of limits in the shared limiter.
// For each time a before until, that charge counts at least until a plus the
// window. So a cost that is taken out of left and admitted at a counts there as
// long as any interval of the window's length that contains a. Everything
// admitted in such an interval is therefore counted together at the time of the
// last admission in it: at most N.
type account struct {
	subject string
	mu      sync.Mutex
	gone    bool          // it has left its shard for good
	at      int64         // when it was last used
	calls   uint8         // since it last triggered a sweep
	pins    int           // calls under way that use it
	busy    chan struct{} // closed when the call that asks for the subject has returned; nil: none

	limits []apikey.Limit
	epoch  uint64 // counts changes of limits
	left   int64  // cost reserved and unused
	charge int64  // when that was charged there: the newest Decision.At
	until  int64  // ... and it is usable before this time

	seen    []Status // of the windows, as of the last round trip; nil: none yet
	seenAt  int64
	refused refusal
	freed   uint64 // counts settlements, after which an earlier refusal may not hold

	demand demand
	losses []loss // one for each window
}

// refusal is the newest refusal. It holds for requests of the same cost, and
// only before until, which is not after the time when the shared limiter would
// admit.
type refusal struct {
	cost     int64 // 0: none
	until    int64
	retry    int64    // the time told to clients, not before until
	violated uint8    // a bit for each window of the account
	mate     *account // it refused too: the refusal is for the pair only; nil: for any request
	epoch    uint64   // of the mate
	freed    uint64   // of the mate
	mates    uint8    // a bit for each window of the mate
}

const (
	forever   = math.MaxInt64
	recentUse = int64(10 * time.Second) // how long an account is kept for its demand
)

func newAccount(subject string) *account { return &account{subject: subject} }

// adopt starts over under other limits. What was reserved is not used any more.
func (a *account) adopt(limits []apikey.Limit) {
	a.limits = slices.Clone(limits)
	a.epoch++
	a.left, a.until = 0, 0
	a.seen, a.refused, a.demand = nil, refusal{}, demand{}
	a.losses = make([]loss, len(limits))
}

// fits reports whether the limits are those of the account, ignoring names.
func (a *account) fits(limits []apikey.Limit) bool {
	if len(a.limits) != len(limits) {
		return false
	}
	for i := range limits {
		if a.limits[i].N != limits[i].N || a.limits[i].Window != limits[i].Window {
			return false
		}
	}
	return true
}

// expire drops what can no longer be used.
func (a *account) expire(now int64) {
	if now >= a.until {
		a.drop(now)
	}
}

// drop drops what is reserved.
func (a *account) drop(now int64) {
	if a.left > 0 {
		a.lose(a.left, now)
		a.left = 0
	}
}

// deposit adds units that are usable before until and were charged at the time
// given by a [Decision.At]. The latest of several such times stands for all:
// each is before until, and so in the same segment as the others (reserver).
func (a *account) deposit(units, until, charge, now int64) {
	if units > 0 && now < until {
		if a.left == 0 {
			a.charge = charge
		}
		a.charge = max(a.charge, charge)
	}
	switch {
	case units == 0:
	case now >= until:
		a.lose(units, now)
	case a.left == 0:
		a.left, a.until = units, until
		a.refused = refusal{}
	default:
		a.left, a.until = a.left+units, min(a.until, until)
		a.refused = refusal{}
	}
}

// note stores what a round trip reported about the windows.
func (a *account) note(st []Status, sent, now int64) {
	a.order(st, sent)
	a.seen, a.seenAt = append(a.seen[:0], st...), now
}

// order adjusts the statuses of a round trip so that they are not older than
// the stored ones. If one round trip was sent before the other was answered,
// nobody knows which was decided first; the one charged last has less left.
func (a *account) order(st []Status, sent int64) {
	if a.seen == nil || sent >= a.seenAt {
		return
	}
	for i := range st {
		if kept := a.seen[i]; kept.Remaining < st[i].Remaining {
			st[i].Remaining, st[i].Reset = kept.Remaining, kept.Reset
		}
	}
}

// report fills in the statuses of an admission, or of a refusal by the windows
// in the mask.
func (a *account) report(now int64, violated uint8, st []Status) {
	for i := range st {
		st[i] = Status{
			Remaining: min(a.seen[i].Remaining+a.left, a.limits[i].N),
			Reset:     max(a.seen[i].Reset-time.Duration(now-a.seenAt), 0),
			Violated:  violated&(1<<i) != 0,
		}
	}
}

// idle reports whether an account made again later would do as well.
func (a *account) idle(now int64) bool {
	a.expire(now)
	if a.pins > 0 || a.left > 0 || now-a.at < recentUse {
		return false
	}
	if r := &a.refused; r.cost > 0 && r.until != forever && now < r.until {
		return false
	}
	for i := range a.losses {
		if a.losses[i].within(a.limits[i].Window, now) > 0 {
			return false
		}
	}
	return true
}
