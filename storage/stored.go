package storage

import (
	"fmt"
	"slices"

	"github.com/wontopos/latchkey/apikey"
)

// Digest is the stored form of a secret: SHA-256 of "<id>_<secret>", or
// HMAC-SHA-256 under a pepper. It hides itself in fmt and JSON.
type Digest struct {
	Sum    [32]byte
	Pepper uint32 // number of the pepper; 0 means none
}

// Format hides the digest for every verb of fmt: it never belongs in a log.
func (d Digest) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[digest]")) }

// MarshalJSON hides the digest, so that printing a record by mistake is
// harmless.
func (d Digest) MarshalJSON() ([]byte, error) { return []byte(`"[digest]"`), nil }

// Record is what a [Store] keeps for a key. Digests[i] belongs to
// Key.Secrets[i].
type Record struct {
	Key     apikey.Key
	Digests []Digest
	// Request is a digest of what was asked for, if the key was created with a
	// name for the creation (latchkey.NewKey.Once); zero for every other key. It never
	// changes.
	Request [32]byte
	// Extensions holds, in their stored form, the fields that a later version of
	// this package added and that this version may skip. A caller that writes the
	// record back must keep them. Nil in every record that this version makes.
	Extensions []byte
}

// Clone returns a copy that shares no memory with r.
func (r Record) Clone() Record {
	return Record{Key: r.Key.Clone(), Digests: slices.Clone(r.Digests), Request: r.Request, Extensions: slices.Clone(r.Extensions)}
}
