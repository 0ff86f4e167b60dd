package storage

import (
	"context"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// Store keeps keys, their audit trail and their usage. The packages below
// storage/ implement it, and so may anyone: the suite in storage/storetest
// decides whether an implementation is correct.
//
// All methods may be called concurrently. Nothing returned shares memory with
// the store, and the store keeps nothing that the caller passed. A method whose
// context is cancelled returns the context's error and changes nothing. Get and
// Apply return [apikey.NotFound] for a key that does not exist; a record that
// cannot be decoded is an error for that key alone. Errors may be wrapped.
//
// A store that has to be closed is an [io.Closer]. Close may come at any time,
// more than once: calls that are running succeed or return [apikey.Closed], and
// later ones return that.
//
// Times are stored in UTC with microsecond precision. Strings are valid UTF-8
// without NUL, compared byte by byte.
type Store interface {
	// Get returns the record of one key. It reads what the last acknowledged
	// Apply wrote, never a replica that may lag.
	Get(ctx context.Context, id string) (Record, error)

	// Apply makes one change in one transaction: the record (compare-and-swap on
	// its revision) and its audit entry, both or neither. When it returns nil,
	// both are durable as far as the store promises durability. It returns the
	// revision that it wrote.
	//
	// If the stored record's revision is not Change.Expect, the error is
	// [apikey.Conflict]. A change that would undo a revocation is [apikey.InvalidState],
	// whatever its revision: revoked stays revoked. After any error that is
	// neither an [*apikey.Error] nor ctx's own, the outcome is unknown. It is also
	// unknown if ctx ends while the change is on its way; the error must then not
	// be ctx's own. A key whose record cannot be decoded cannot be changed or
	// created again, because it may have been revoked.
	Apply(ctx context.Context, c Change) (revision uint64, err error)

	// List returns the records that a query selects, in its order, that come
	// strictly after q.After, and where the list continues. Records that are
	// inserted meanwhile never shift a page. A record that cannot be decoded is
	// left out: it must not hide the others. Whatever indexes a store keeps, it
	// returns a record only for a query that the record itself matches: [Filter]
	// decides.
	List(ctx context.Context, q Query) (Listing, error)

	// Audit returns audit entries, newest first. One that cannot be decoded is left
	// out.
	Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error)

	// AddUsage adds a batch of counts. Counts commute; LastUse replaces only an
	// older one ([apikey.LastUse.Replaces]); each scope is recorded with the newest hour
	// reported. Counts for a key that does not exist are dropped: usage never
	// recreates a key.
	//
	// A Service has at most two batches in progress at a time, each taking some
	// hundredths of a second, as far as their size decides that. After an error it
	// sends the same batch again. So a store adds a batch whole or not at all, as
	// far as it can: what was added before the error, or by a call whose answer
	// was lost, is counted twice. A Service prefers counting twice, at most the
	// contents of one batch, to losing the counts and the last use for good.
	AddUsage(ctx context.Context, batch []UsageDelta) error

	// Usage returns the hours that start at or after since, and the summary of
	// each secret and scope. For a key without usage, or one that does not exist,
	// it returns the zero Usage except for ScopesSince, not an error.
	Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error)

	// Activity sums up the usage of keys: one Activity for each ID, in the order
	// asked, zero except for its ID if the key has no usage or does not exist. Its
	// days begin with that of since, in UTC; days without a count are left out.
	// More than [MaxActivity] IDs are [apikey.InvalidArgument].
	Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error)
}

// BatchGetter is implemented by a store that reads many records at about the
// cost of one, such as one round trip. Concurrent reads are then combined, so
// that a flood of unknown ids costs a few reads.
//
// A service looks for it on the store itself and not behind wrappers:
// otherwise it would bypass a wrapper that changes what Get answers.
type BatchGetter interface {
	// GetBatch is [Store.Get] for each of up to 256 ids, without duplicates:
	// records[i] and errs[i] are the answer to ids[i], and both are as long as
	// ids. An id that does not exist, or whose record cannot be decoded, is an
	// error for that id alone.
	GetBatch(ctx context.Context, ids []string) (records []Record, errs []error)
}

// Change is one mutation.
type Change struct {
	// Record is the state after the change. Its Revision is ignored: the
	// store writes Expect+1.
	Record Record
	// Expect is the revision that the change is based on; 0 creates, and the key
	// must not exist.
	Expect uint64
	// Delete removes (purges) the record named by Record.Key.ID: only a revoked
	// record may be removed. Its audit trail stays; its usage is deleted.
	Delete bool
	// Entry is written with the record. The store sets Entry.Seq.
	Entry apikey.AuditEntry
}

// Notice tells a service that a key has changed. Its cache then forgets the
// key, and requests in flight that the change forbids are cut.
type Notice struct {
	ID       string // or the topic of an [Announcer]
	Revision uint64
	// Record is the state after the change, shared by all subscribers: read only.
	// Nil means that the state is not known or the key was deleted; the subscriber
	// reads it again, and treats a deleted key as revoked.
	Record  *Record
	Deleted bool
}

// Notifier is implemented by a store whose writers all live in this process
// (memory, Badger). It calls every subscriber after a change is committed and
// before Apply returns, from the goroutine of Apply and without holding a lock
// that the store's other methods need. So a Service on such a store is never
// stale: revocation is synchronous.
//
// Such a store keeps other processes from opening its data: a change that one of
// them made would never be noticed. Notices of one key may arrive out of order;
// their revisions show the order.
type Notifier interface {
	Subscribe(f func(Notice)) (cancel func())
}

// As finds an optional ability T (such as [Notifier]) of a store through any
// number of wrappers that have a method Unwrap() Store. Call it once, in a
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
