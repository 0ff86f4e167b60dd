package apikey

import (
	"time"

	"github.com/wontopos/latchkey/internal/bounds"
)

// Actor is who makes a change. It is an argument of every mutation, never a
// default: an audit trail without actors is worthless.
type Actor struct {
	ID   string // account, e-mail, service name: at most 256 characters; required
	From string // address that the request came from; at most 256 characters, may be empty
	// Customer says that the actor is the owner of the key, not somebody who runs
	// the service, and so may not undo what those who run it did: see
	// [Key.Locked].
	Customer bool
}

// AuditEntry is one line of the audit trail. It is written in the transaction
// of the change that it describes, and is never changed. Its Action is one of:
//
//	create, update, disable, enable, revoke, purge
//	rotate, finish_rotation, cancel_rotation
//	found      a secret of the key was found where it does not belong; the key is unchanged
//	first_use  of a rotated-in secret; recorded by the service itself
//	redigest   the digest now uses the newest pepper; recorded by the service itself
//	due        for rotation; recorded by the service itself, which then calls Options.OnDue
//
// Later versions may add others.
type AuditEntry struct {
	Seq     uint64            `json:"seq"` // set by the store, strictly increasing
	At      time.Time         `json:"at"`
	Actor   string            `json:"actor"`
	From    string            `json:"from,omitempty"`
	Action  string            `json:"action"`
	KeyID   string            `json:"key_id"`
	Owner   string            `json:"owner"`
	Reason  string            `json:"reason,omitempty"`
	Details map[string]string `json:"details,omitempty"` // what changed: "name": "old -> new"
}

// AuditQuery selects audit entries. The zero value lists all, newest first.
type AuditQuery struct {
	KeyID  string // empty: all keys
	Owner  string // empty: all owners
	Before uint64 // only entries with a smaller Seq; 0 means from the newest
	Limit  int    // 1 to 1000; 0 means 100
}

// PageLimit returns Limit within its bounds; stores call it.
func (q AuditQuery) PageLimit() int { return bounds.PageLimit(q.Limit) }
