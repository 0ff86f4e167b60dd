package apikey

import "time"

// Activity is the part of a key's usage that a row of a list shows.
type Activity struct {
	ID string
	// Days holds the days on which requests were counted, oldest first, all
	// secrets together.
	Days []DayCounts
	// Last is the newest use of any secret, however long ago.
	Last LastUse
}

// DayCounts counts the requests of one day.
type DayCounts struct {
	Day    time.Time // its start, UTC
	Counts Counts
}
