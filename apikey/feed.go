package apikey

import (
	"context"
	"errors"
	"time"
)

// Feed is implemented by a store that several processes share. It is the one
// account of what changed, in the order of the commits, that keeps their caches
// true: a process trusts what it has cached only for a lease after it sent a
// poll of the feed, and it has applied all that the poll told.
//
// Every Apply adds one change to the feed, in the transaction of its record, and
// so does every Announce.
// Positions count from 1 without gaps and in the order in which the changes
// become visible: whoever reads the head and everything up to it misses nothing
// that was committed before.
//
// All methods may be called from several goroutines at once.
type Feed interface {
	// Poll registers what the instance has applied, and then reads the feed
	// after a position, at the one place that accepts writes: never a replica.
	// The registration has to be visible to every poll that begins later
	// before the head is read. Else an instance could read an old head, and be
	// counted by nobody who waits for it.
	Poll(ctx context.Context, q FeedQuery) (FeedPage, error)

	// Await returns nil when there may be something new in the feed. It is a
	// hint to poll now: it may be late, lost or mistaken, and nothing rests on
	// it. News may stay until the next Poll: poll after each nil. [ErrNoPush] says that this store cannot tell, so that polling is all
	// there is; any other error, that it cannot tell at the moment. It returns
	// ctx's error when it ends first.
	Await(ctx context.Context) error
}

// Announcer is implemented by a store that can tell every [Service] on it of
// something that is no change of a key, such as new plans. A [Feed] has to be one
// for [Service.RefreshPlans]; a [Notifier] may be.
type Announcer interface {
	// Announce adds a Notice to the feed, or publishes one, whose ID is the
	// topic and that has nothing else. When it returns nil, the announcement is
	// where a change of a key would be when Apply returns. It changes no key and
	// leaves nothing in the audit trail. A topic is a lower-case word that is
	// too short to be the id of a key.
	Announce(ctx context.Context, topic string) error
}

// topicPlans says that plans have changed: see [Service.RefreshPlans].
const topicPlans = "plans"

// ErrNoPush is returned by [Feed.Await] of a store that has no way to wake its
// readers, for example behind a pooler that lends connections out for one
// transaction only.
var ErrNoPush = errors.New("apikey: this store cannot push changes: they are found by polling alone")

// FeedQuery is one poll of a [Feed].
type FeedQuery struct {
	// Instance names the process among those that share the store. Empty
	// registers none, for tools that only look.
	Instance string
	// Acked is the position up to which the instance has applied everything,
	// and Epoch the feed that it counts in, as the last page said. An
	// acknowledgement counts as 0 while the feed has another epoch.
	Acked uint64
	Epoch string
	// Lease is how long the instance trusts its cache after it has sent this
	// poll. It counts as alive that long, by the store's clock.
	Lease time.Duration
	// After is the position to read on from. Limit bounds the changes, 1 to
	// 1000; 0 means 100.
	After uint64
	Limit int
}

// PageLimit returns Limit within its bounds; stores call it.
func (q FeedQuery) PageLimit() int { return pageLimit(q.Limit) }

// FeedPage is the answer to a poll.
type FeedPage struct {
	// Epoch names the feed. Another one than before means another history,
	// such as a restored backup: nothing that is cached holds any more.
	Epoch string
	// Head is the position of the newest change when the page was read. One
	// that is lower than a position seen before means that changes were lost.
	Head uint64
	// Changes come after FeedQuery.After, in order.
	Changes []FeedChange
	// Truncated says that changes after FeedQuery.After have been removed for
	// their age: Changes begins later.
	Truncated bool
	// Acked is the lowest position that an instance alive has acknowledged,
	// the polling one included; Head when there is none. Alive is how many
	// there are.
	Acked uint64
	Alive int
}

// FeedChange is one change in a feed, or one announcement. Its Notice never has a
// Record.
type FeedChange struct {
	Position uint64
	Notice
}
