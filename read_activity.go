package latchkey

import (
	"context"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/storage"
)

// collectEvery is how old counts may be in calls that cover many keys: frequent
// or concurrent calls share one collection.
const collectEvery = time.Second

// Activity returns what was counted for keys since the start of since's day (UTC), including this process's requests up
// to a second ago: one Activity for each ID, in the order asked. For a key that was never used, or does not exist, it
// is zero except for its ID. More than [storage.MaxActivity] IDs are [apikey.InvalidArgument]. Days are kept as long as hours, for
// [storage.UsageRetention].
func (s *Service) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	if err := s.engine.Enter(); err != nil {
		return nil, err
	}
	defer s.engine.Leave()
	if len(ids) > storage.MaxActivity {
		return nil, faults.Invalid("ids", "%d keys, at most %d can be asked for at once", len(ids), storage.MaxActivity)
	}
	if err := validTime("since", since); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var all []apikey.Activity
	err := s.outbox.read(ctx, ids, collectEvery, func(owed func(string) []storage.UsageDelta) (err error) {
		if all, err = s.store.Activity(ctx, ids, since); err != nil {
			return storeError("activity", err)
		}
		for i := range all {
			for _, d := range owed(all[i].ID) {
				addActivity(&all[i], d, since)
			}
		}
		return nil
	})
	return all, err
}

// addActivity adds counts that are later than everything in a.
func addActivity(a *apikey.Activity, d storage.UsageDelta, since time.Time) {
	if d.Last.Replaces(a.Last) {
		a.Last = d.Last
	}
	const day = 24 * time.Hour
	start := d.Hour.Truncate(day)
	if d.Counts == (apikey.Counts{}) || start.Before(since.UTC().Truncate(day)) {
		return
	}
	at := len(a.Days)
	for at > 0 && a.Days[at-1].Day.After(start) { // written by a process whose clock is ahead
		at--
	}
	if at == 0 || !a.Days[at-1].Day.Equal(start) {
		a.Days = slices.Insert(a.Days, at, apikey.DayCounts{Day: start})
		at++
	}
	a.Days[at-1].Counts.Add(d.Counts)
}
