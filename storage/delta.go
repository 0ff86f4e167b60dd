package storage

import (
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// UsageDelta is what one secret of one key did since the last flush, within one
// hour. A delta without counts adds detail to a last use that was written
// before.
type UsageDelta struct {
	KeyID  string
	Secret uint32    // [apikey.Secret.Number]
	Hour   time.Time // start of the hour, UTC
	Counts apikey.Counts
	Last   apikey.LastUse // zero if no request was admitted
	Scopes []string       // granted scopes that let requests through, each once
}

// Add adds another delta of the same secret and hour.
func (d *UsageDelta) Add(other UsageDelta) {
	d.Counts.Add(other.Counts)
	if other.Last.Replaces(d.Last) {
		d.Last = other.Last
	}
	for _, scope := range other.Scopes {
		if !slices.Contains(d.Scopes, scope) {
			d.Scopes = append(d.Scopes, scope)
		}
	}
}

// MaxActivity is how many keys [Store.Activity] reports on at once.
const MaxActivity = 1000

// UsageRetention is the minimum time for which stores keep hourly rows.
const UsageRetention = 35 * 24 * time.Hour
