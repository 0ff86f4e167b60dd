package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var activityChecks = []check{
	{name: "activity sums up days and tells the last use, key by key, in the order asked", run: func(e *env) error {
		r := rand.New(rand.NewPCG(7, 8))
		var made []string
		for i := range 12 {
			id := fmt.Sprint("key", i)
			if _, err := e.create(id, nil); err != nil {
				return err
			}
			made = append(made, id)
			if i == 3 {
				continue // never used
			}
			var batch []storage.UsageDelta
			for range 60 {
				d := delta(id, uint32(1+r.IntN(3)), -r.IntN(30*24), uint64(r.IntN(5)))
				fields := d.Counts.Fields()
				*pick(r, fields[:]) += 2
				if r.IntN(2) == 0 {
					d.Last = lastUse(-r.IntN(1e9), fmt.Sprint("agent ", r.IntN(100)))
				}
				batch = append(batch, d)
			}
			batch = append(batch, storage.UsageDelta{KeyID: id, Secret: 1, Hour: start.AddDate(0, 0, -32)}) // no counts: no day
			if err := e.s.AddUsage(e.ctx, batch); err != nil {
				return err
			}
		}
		today := start.Truncate(24 * time.Hour)
		for _, asked := range [][]string{
			{}, {"key3"}, {"nobody", "key1", ""}, {"key7", "key2", "key7", "key"}, append(slices.Clone(made), "another"),
		} {
			for _, since := range []time.Time{{}, start, today, today.Add(-time.Nanosecond), today.AddDate(0, 0, -7).Add(5 * time.Hour).In(time.FixedZone("", 9*3600)), start.AddDate(1, 0, 0)} {
				got, err := e.s.Activity(e.ctx, asked, since)
				if err != nil {
					return err
				}
				if err := equal("activities", len(got), len(asked)); err != nil {
					return err
				}
				for i, id := range asked {
					want, err := e.activityOf(id, since.UTC().Truncate(24*time.Hour))
					if err != nil {
						return err
					}
					if err := equal(fmt.Sprintf("activity of %q since %v", id, since), got[i], want); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}},
	{name: "activity of a thousand keys, and of no more", run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{delta("key", 1, 0, 1)}); err != nil {
			return err
		}
		asked := make([]string, storage.MaxActivity)
		for i := range asked {
			asked[i] = fmt.Sprint("nobody", i)
		}
		asked[len(asked)-1] = "key"
		got, err := e.s.Activity(e.ctx, asked, start)
		if err != nil || len(got) != len(asked) || len(got[len(got)-1].Days) != 1 || got[0].ID != "nobody0" {
			return broken("activity of %d keys: %d, %v", len(asked), len(got), err)
		}
		_, err = e.s.Activity(e.ctx, append(asked, "key"), start)
		return want("activity of more", err, apikey.InvalidArgument)
	}},
}

// activityOf computes an activity from the usage that the store returns.
func (e *env) activityOf(id string, since time.Time) (apikey.Activity, error) {
	a := apikey.Activity{ID: id}
	u, err := e.s.Usage(e.ctx, id, since)
	if err != nil {
		return a, err
	}
	byDay := map[time.Time]apikey.Counts{}
	for _, h := range u.Hours {
		c := byDay[h.Hour.Truncate(24*time.Hour)]
		c.Add(h.Counts)
		byDay[h.Hour.Truncate(24*time.Hour)] = c
	}
	for d, c := range byDay {
		if c != (apikey.Counts{}) {
			a.Days = append(a.Days, apikey.DayCounts{Day: d, Counts: c})
		}
	}
	slices.SortFunc(a.Days, func(a, b apikey.DayCounts) int { return a.Day.Compare(b.Day) })
	for _, s := range u.Secrets {
		if s.Last.At.After(a.Last.At) {
			a.Last = s.Last
		}
	}
	return a, nil
}
