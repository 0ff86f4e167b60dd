package storage

import (
	"context"
	"errors"
	"time"

	"github.com/wontopos/latchkey/internal/bounds"
)

// Feed is implemented by a store that several processes share. It is the single
// record of what changed, in commit order, and keeps their caches correct: a
// process trusts its cache only for one lease after it sent a poll of the feed,
// and only once it has applied everything that the poll returned.
//
// Every Apply adds one change to the feed, in the transaction of its record,
// and so does every Announce. Positions count from 1 without gaps, in the order
// in which the changes become visible: a reader of the head and everything up
// to it misses nothing that was committed before.
//
// All methods may be called concurrently.
type Feed interface {
	// Poll registers what the instance has applied, and then reads the feed after
	// a position, from the one place that accepts writes: never from a replica.
	// The registration must be visible to every poll that begins later before the
	// head is read. Otherwise an instance could read an old head without being
	// counted by the processes that wait for it.
	Poll(ctx context.Context, q FeedQuery) (FeedPage, error)

	// Await returns nil when there may be something new in the feed. It is a hint
	// to poll now: it may be late, lost or mistaken, and nothing depends on it.
	// Await may keep returning nil until the next Poll: poll after each nil.
	// [ErrNoPush] says that this store cannot push, so polling is the only way;
	// any other error says that it cannot push at the moment. Await returns ctx's
	// error if ctx ends first.
	Await(ctx context.Context) error
}

// Announcer is implemented by a store that can tell every service that uses
// it about something other than a change of a key, such as new plans.
// latchkey.Service.RefreshPlans requires a [Feed] to be one; a [Notifier] may be.
type Announcer interface {
	// Announce adds a Notice to the feed, or publishes one, with the topic as its
	// ID and nothing else. When it returns nil, the announcement has got as far as
	// a change of a key has when Apply returns. It changes no key and leaves
	// nothing in the audit trail. A topic is a lower-case word that is too short
	// to be the id of a key.
	Announce(ctx context.Context, topic string) error
}

// ErrNoPush is returned by [Feed.Await] of a store that cannot wake its
// readers, for example behind a pooler that lends connections for one
// transaction only.
var ErrNoPush = errors.New("storage: this store cannot push changes: they are found by polling alone")

// FeedQuery is one poll of a [Feed].
type FeedQuery struct {
	// Instance names the process among those that share the store. Empty registers
	// none, for tools that only read.
	Instance string
	// Acked is the position up to which the instance has applied everything, and
	// Epoch the feed to which that position belongs, as the last page said. An
	// acknowledgement counts as 0 while the feed has another epoch.
	Acked uint64
	Epoch string
	// Lease is how long the instance trusts its cache after it has sent this poll.
	// The instance counts as alive for that long, by the store's clock.
	Lease time.Duration
	// After is the position after which to read. Limit bounds the changes, 1 to
	// 1000; 0 means 100.
	After uint64
	Limit int
}

// PageLimit returns Limit within its bounds; stores call it.
func (q FeedQuery) PageLimit() int { return bounds.PageLimit(q.Limit) }

// FeedPage is the answer to a poll.
type FeedPage struct {
	// Epoch identifies the feed. If it changes, the history is a different one,
	// such as a restored backup: nothing that is cached holds any more.
	Epoch string
	// Head is the position of the newest change when the page was read. If it is
	// lower than a position seen before, changes were lost.
	Head uint64
	// Changes come after FeedQuery.After, in order.
	Changes []FeedChange
	// Truncated says that changes after FeedQuery.After have been removed because
	// of their age: Changes begins later.
	Truncated bool
	// Acked is the lowest position that a live instance has acknowledged,
	// including the polling one; Head if there is none. Alive is the number of
	// live instances.
	Acked uint64
	Alive int
}

// FeedChange is one change in a feed, or one announcement. Its Notice never has a
// Record.
type FeedChange struct {
	Position uint64
	// Age is how long before the page was read the change was made, by the
	// store's clock, for figures. Nothing depends on it: 0 if it is not known.
	Age time.Duration
	Notice
}
