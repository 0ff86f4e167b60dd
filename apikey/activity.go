package apikey

import (
	"context"
	"slices"
	"time"
)

// MaxActivity is how many keys [Service.Activity] tells of at once.
const MaxActivity = 1000

// collectEvery is how old counts may be in what shows many keys: whoever asks
// often, or many at once, collect them once.
const collectEvery = time.Second

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
	if err := validTime("since", since); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var all []Activity
	err := s.outbox.read(ctx, ids, collectEvery, func(owed func(string) []UsageDelta) (err error) {
		if all, err = s.store.Activity(ctx, ids, since); err != nil {
			return storeError("activity", err)
		}
		for i := range all {
			for _, d := range owed(all[i].ID) {
				all[i].add(d, since)
			}
		}
		return nil
	})
	return all, err
}

// add adds what was counted later than all that a knows.
func (a *Activity) add(d UsageDelta, since time.Time) {
	if d.Last.Replaces(a.Last) {
		a.Last = d.Last
	}
	const day = 24 * time.Hour
	start := d.Hour.Truncate(day)
	if d.Counts == (Counts{}) || start.Before(since.UTC().Truncate(day)) {
		return
	}
	at := len(a.Days)
	for at > 0 && a.Days[at-1].Day.After(start) { // written by a process whose clock is ahead
		at--
	}
	if at == 0 || !a.Days[at-1].Day.Equal(start) {
		a.Days = slices.Insert(a.Days, at, DayCounts{Day: start})
		at++
	}
	a.Days[at-1].Counts.Add(d.Counts)
}
