package apikey

import "time"

// Order is the order of a list.
type Order uint8

// The orders. All are total: two keys never have the same place. Strings are
// compared byte by byte.
const (
	// NewestFirst is by CreatedAt, then by ID, both descending.
	NewestFirst Order = iota
	// OldestFirst is the reverse of NewestFirst.
	OldestFirst
	// ByName is by the name without regard to letter case (Fold of package
	// storage), then by the name, then by ID, all ascending.
	ByName
)

// Query selects records, all conditions at once. The zero value lists
// everything from the start, newest first, up to the store's limit.
type Query struct {
	Owner       string // exact; empty means all
	Environment string // exact; empty means all
	Plan        string // exact; empty means all
	// State is the state of the key now; empty means all.
	State State
	// Search is a term that begins a word of the name, or the ID, letter case
	// aside; empty means all. A word begins at the start of the name, and
	// wherever a letter or digit follows what is neither: "back" and
	// "production-b" find "production-backend", "ckend" does not. Of a name
	// and of a term the first [MaxName] bytes count. The words and their
	// folding are those of package storage.
	Search string
	// UnusedSince leaves out keys that were used, or created, then or later:
	// what stays was not used since, if ever. Zero means all.
	UnusedSince time.Time
	// Rotating selects keys of which two secrets work now ([Key.RotatingAt]).
	Rotating bool
	// ExpiresBefore selects keys that expire before then, also those that have
	// expired; State tells them apart. Zero means all.
	ExpiresBefore time.Time
	// OmitRevoked leaves out keys that were revoked.
	OmitRevoked bool
	// SecretBefore selects keys whose newest secret was made before then. Zero
	// means all.
	SecretBefore time.Time

	Order Order
	After Position // [Listing.Next] of the page before; zero means the start
	Limit int      // at most so many records, 1 to 1000; 0 means 100
}

// MaxName is how much of a name counts for [Query.Search] and [ByName], in bytes.
// Names may be longer: the service takes as many characters.
const MaxName = 128

// Position is a place in an [Order], between records: that of a record is its
// CreatedAt, Name and ID. Only what the order needs is looked at.
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
	// Next is where the list goes on: [Query.After] of the next page, strictly
	// after that of this one. It is zero when nothing comes after, and nothing
	// else is a sign of the end. For a store bounds what one call looks at:
	// where other conditions than Owner and Environment leave most records out,
	// a page may be short, or empty, long before the end. Where they do not,
	// pages are full up to the last one.
	Next Position
}

// PageLimit returns Limit within its bounds; stores call it.
func (q Query) PageLimit() int { return pageLimit(q.Limit) }

func pageLimit(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}
