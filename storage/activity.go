package storage

import (
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

const day = 24 * time.Hour

// Day returns the start of t's day, in UTC.
func Day(t time.Time) time.Time { return NormalizeTime(t).Truncate(day) }

// AddHour adds an hour's counts to the days of an activity, which stay in
// order. Hours may come in any order; a day whose hours have no counts is not
// added.
func AddHour(a *apikey.Activity, hour time.Time, c apikey.Counts) {
	if c == (apikey.Counts{}) {
		return
	}
	start := Day(hour)
	if a.Days == nil {
		a.Days = make([]apikey.DayCounts, 0, 32) // most ask for a month
	}
	at := len(a.Days) // most come oldest first
	for at > 0 && a.Days[at-1].Day.After(start) {
		at--
	}
	if at == 0 || !a.Days[at-1].Day.Equal(start) {
		a.Days = slices.Insert(a.Days, at, apikey.DayCounts{Day: start})
		at++
	}
	a.Days[at-1].Counts.Add(c)
}

// CheckActivity returns the error of [Store.Activity] for too many IDs.
func CheckActivity(ids []string) error {
	if len(ids) > MaxActivity {
		return &apikey.Error{Code: apikey.InvalidArgument, Field: "ids", Msg: "more keys than can be asked for at once"}
	}
	return nil
}
