package apikey

import (
	"context"
	"time"
)

// Store keeps keys, their audit trail and their usage. It is implemented by
// the packages below storage/, and by anyone: the suite in storage/storetest
// decides whether an implementation is one.
//
// All methods may be called from several goroutines at once. Nothing returned
// shares memory with the store, and the store keeps nothing that the caller
// passed. A cancelled context returns its error and changes nothing. A key that
// does not exist is [ErrNotFound] to Get and Apply; use after Close is
// [ErrClosed]; a record that cannot be decoded is an error for that key alone.
//
// Times are stored in UTC with microsecond precision. Strings are valid UTF-8
// without NUL, compared byte by byte.
type Store interface {
	// Get returns the record of one key. It reads what the last acknowledged
	// Apply wrote, never a replica that may lag.
	Get(ctx context.Context, id string) (Record, error)

	// Apply makes one change in one transaction: the record (compare-and-swap
	// on its revision) and its audit entry, both or neither. When it returns
	// nil both are durable as far as the store promises durability. It
	// returns the revision that it wrote.
	//
	// A record whose revision is not Change.Expect is [ErrConflict]. A change
	// that would take back a revocation is [ErrInvalidState], whatever its
	// revision: revoked stays revoked. After any error that is not an [*Error]
	// or ctx's own, the outcome is unknown: so is it when ctx ends while the
	// change is on its way, which is then not ctx's own error.
	Apply(ctx context.Context, c Change) (revision uint64, err error)

	// List returns the records that a query selects, in its order, that come
	// strictly after q.After, and where the list goes on. Records that are
	// inserted meanwhile never shift a page. A record that cannot be decoded
	// is left out: it must not hide the others. Whatever indexes a store keeps,
	// it shows a record to those only whose query the record itself fits:
	// Filter of package storage decides.
	List(ctx context.Context, q Query) (Listing, error)

	// Audit returns audit entries, newest first.
	Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error)

	// AddUsage adds a batch of counts. Counts commute; LastUse replaces an
	// older one only ([LastUse.Replaces]); each scope is used in the newest
	// hour that was told. Counts for a key that does not exist are dropped: usage
	// never brings a key back.
	//
	// A Service gives at most two batches at a time, each for some hundredths of a
	// second, as far as their size decides that. After an error it gives the same
	// batch again. So a store adds a batch whole or not at all, as far as it can:
	// what was added before the error, or by a call whose answer was lost, is
	// counted twice. Counting twice, at most what one batch holds, is what a
	// Service prefers to losing the counts, and the last use, for good.
	AddUsage(ctx context.Context, batch []UsageDelta) error

	// Usage returns the hours that start at or after since, and the summary
	// of each secret and scope. A key without usage, or that does not exist, has
	// the zero Usage but for ScopesSince, not an error.
	Usage(ctx context.Context, id string, since time.Time) (Usage, error)

	// Activity sums up the usage of keys: one Activity for each ID, in the
	// order asked, zero but for its ID when the key has no usage or does not
	// exist. Its days begin with that of since, in UTC; those without a count
	// are left out. More than [MaxActivity] IDs are [ErrInvalidArgument].
	Activity(ctx context.Context, ids []string, since time.Time) ([]Activity, error)
}

// Change is one mutation.
type Change struct {
	// Record is the state after the change. Its Revision is ignored: the
	// store writes Expect+1.
	Record Record
	// Expect is the revision that the change was made from; 0 creates, and
	// the key must not exist.
	Expect uint64
	// Delete removes the record (purge) named by Record.Key.ID: only a revoked
	// record may be removed. Its audit trail stays; its usage goes.
	Delete bool
	// Entry is written with the record. The store sets Entry.Seq.
	Entry AuditEntry
}

// Notice tells a [Service] that a key has changed: its cache forgets the key,
// and requests in flight that the change forbids are cut.
type Notice struct {
	ID       string // or the topic of an [Announcer]
	Revision uint64
	// Record is the state after the change, shared by all subscribers: read
	// only. Nil means that it is not known or was deleted; the subscriber
	// reads it again, or takes a deleted key for revoked.
	Record  *Record
	Deleted bool
}

// Notifier is implemented by a store all of whose writers live in this
// process (memory, Badger). It calls every subscriber after a change is
// committed and before Apply returns, from the goroutine of Apply and without
// holding a lock that the store's other methods need. So a Service on such a
// store is never stale: revocation is synchronous.
//
// Notices of one key may arrive out of order; their revisions tell.
type Notifier interface {
	Subscribe(f func(Notice)) (cancel func())
}

// As finds an optional ability T (such as [Notifier]) of a store through any
// number of wrappers that have a method Unwrap() Store. It is asked once, in a
// constructor.
func As[T any](s Store) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		u, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = u.Unwrap()
	}
	var none T
	return none, false
}
