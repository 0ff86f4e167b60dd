package apikey

import (
	"context"
	"time"
)

// MaxActivity is how many keys [Service.Activity] tells of at once.
const MaxActivity = 1000

// Activity is what a row of a list shows of a key's use.
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

// Activity returns what was counted for keys since the start of since's day
// (UTC), this process's counts of a second ago and before included: one Activity
// for each ID, in the order asked. A key that was never used, or does not exist, has one that
// is zero but for its ID. More than [MaxActivity] IDs are
// [ErrInvalidArgument]. Days are kept as long as hours, for [UsageRetention].
func (s *Service) Activity(ctx context.Context, ids []string, since time.Time) ([]Activity, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if len(ids) > MaxActivity {
		return nil, invalidf("ids", "%d keys, at most %d can be asked for at once", len(ids), MaxActivity)
	}
	if err := s.flushUnless(ctx, joinFlushes); err != nil {
		return nil, err
	}
	a, err := s.store.Activity(ctx, ids, since)
	return a, storeError("activity", err)
}
