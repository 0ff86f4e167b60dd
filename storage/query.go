package storage

import (
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
)

// Order is the order of a list.
type Order uint8

// The orders. All are total: no two keys have the same place. Strings are
// compared byte by byte.
const (
	// NewestFirst sorts by CreatedAt, then by ID, both descending.
	NewestFirst Order = iota
	// OldestFirst is the reverse of NewestFirst.
	OldestFirst
	// ByName sorts by the name ignoring letter case ([Fold]),
	// then by the name, then by ID, all ascending.
	ByName
)

// Query selects records that meet all of its conditions. The zero value lists
// everything from the start, newest first, up to the store's limit.
type Query struct {
	Owner       string // exact; empty means all
	Environment string // exact; empty means all
	Plan        string // exact; empty means all
	// State is the state of the key now; empty means all.
	State apikey.State
	// Search is the beginning of a word of the name, or the ID, ignoring letter
	// case; empty means all. A word begins at the start of the name, and wherever
	// a letter or digit follows a character that is neither: "back" and
	// "production-b" find "production-backend", "ckend" does not. Only the first
	// [MaxName] bytes of a name and of a term count. [Terms] defines the words and
	// [Fold] their case folding.
	Search string
	// UnusedSince leaves out keys that were used or created at that time or later;
	// the rest were not used since then, if ever. Zero means all.
	UnusedSince time.Time
	// Rotating selects keys of which two secrets work now ([apikey.Key.RotatingAt]).
	Rotating bool
	// ExpiresBefore selects keys that expire before that time, including those
	// that have expired; State distinguishes them. Zero means all.
	ExpiresBefore time.Time
	// OmitRevoked leaves out keys that were revoked.
	OmitRevoked bool
	// SecretBefore selects keys whose newest secret was made before that time.
	// Zero means all.
	SecretBefore time.Time

	Order Order
	After Position // [Listing.Next] of the previous page; zero means the start
	Limit int      // maximum number of records, 1 to 1000; 0 means 100
}

// MaxName is how much of a name [Query.Search] and [ByName] consider, in bytes.
// Names may be longer: the service allows this many characters.
const MaxName = 128

// Position is a place in an [Order], between records: that of a record is its
// CreatedAt, Name and ID. Only the fields that the order needs are used.
type Position struct {
	CreatedAt time.Time // for NewestFirst and OldestFirst
	Name      string    // for ByName
	ID        string
}

// IsZero reports whether p is the start of every order.
func (p Position) IsZero() bool { return p.ID == "" && p.Name == "" && p.CreatedAt.IsZero() }

// Listing is one page of records.
type Listing struct {
	Records []Record
	// Next is where the list continues: [Query.After] of the next page, strictly
	// after that of this one. It is zero if nothing follows, and only this marks
	// the end. A store bounds what one call looks at: if conditions other than
	// Owner and Environment leave most records out, a page may be short, or empty,
	// long before the end. Otherwise pages are full up to the last one.
	Next Position
}

// PageLimit returns Limit within its bounds; stores call it.
func (q Query) PageLimit() int { return bounds.PageLimit(q.Limit) }
