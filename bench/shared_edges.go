package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"
	ululelimiter "github.com/ulule/limiter/v3"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore/rueidisstore"
)

// edgeTitle is the accuracy of limiters in Redis, by the clock of its server.
const (
	edgeTitle = "shared: the most that is admitted in any window"
	edgeNote  = `%d in %v, in real time, under the arrivals of the accuracy suite. Calls count as in one window only if the last of them was answered within its length of the moment at which the first was made.`
)

// edges tries what each limiter admits at worst.
func (r *redisRun) edges() error {
	w := r.shape.edge
	if w == 0 {
		return nil
	}
	ours, err := rueidisstore.NewLimiter(r.rueidis, patientOptions("edge:"))
	if err != nil {
		return err
	}
	limits := []apikey.Limit{{Name: "edge", N: accuracyLimit, Window: w}}
	ulule := ululelimiter.New(r.ulule, ululelimiter.Rate{Period: w, Limit: accuracyLimit})
	rate := redis_rate.Limit{Rate: accuracyLimit, Burst: accuracyLimit, Period: w}
	ctx := context.Background()
	limiters := []struct {
		name  string
		allow func(id string) (bool, error)
	}{
		{"latchkey", func(id string) (bool, error) {
			d, err := ours.Take(ctx, limiter.Request{Demands: []limiter.Demand{{Subject: id, Limits: limits}}})
			return d.Allowed, err
		}},
		{"redis_rate", func(id string) (bool, error) {
			got, err := r.rate.Allow(ctx, "edge:"+id, rate)
			return err == nil && got.Allowed == 1, err
		}},
		{"ulule", func(id string) (bool, error) {
			got, err := ulule.Get(ctx, "edge:"+id)
			return !got.Reached, err
		}},
	}
	r.out.progress("%s", edgeTitle)
	r.out.tables = append(r.out.tables, table{
		title: edgeTitle, note: fmt.Sprintf(edgeNote, accuracyLimit, w), columns: []string{"limiter", "most", "with"},
	})
	all := adversary()[1:] // a steady client tells nothing here
	most, errs := make([][]int, len(limiters)), make([][]error, len(limiters))
	var group sync.WaitGroup
	for i, l := range limiters {
		most[i], errs[i] = make([]int, len(all)), make([]error, len(all))
		for j, a := range all {
			group.Go(func() {
				most[i][j], errs[i][j] = mostCertainly(a.at, w, func() (bool, error) { return l.allow(a.name) })
			})
		}
	}
	group.Wait()
	for i, l := range limiters {
		for j, err := range errs[i] {
			if err != nil {
				return fmt.Errorf("%s: %s: %w", l.name, all[j].name, err)
			}
		}
		worst := slices.Max(most[i])
		r.out.row(edgeTitle, l.name, fmt.Sprint(worst), all[slices.Index(most[i], worst)].name)
		if i == 0 {
			r.out.must(worst <= accuracyLimit, "most admitted in any window in Redis at limit 60", fmt.Sprintf("all arrivals, %v", w), fmt.Sprint(worst), "<= 60")
		}
	}
	return nil
}

// mostCertainly lets arrivals, as long as w is of accuracyWindow, come, and
// returns the most that were admitted within w whatever the server's clock was
// between question and answer.
func mostCertainly(at []time.Duration, w time.Duration, allow func() (bool, error)) (most int, err error) {
	scale := accuracyWindow / w
	var asked, answered []time.Duration
	start := time.Now()
	for _, d := range slices.Sorted(slices.Values(at)) {
		time.Sleep(time.Until(start.Add(d / scale)))
		made := time.Since(start)
		ok, err := allow()
		if err != nil {
			return 0, err
		}
		if ok {
			asked, answered = append(asked, made), append(answered, time.Since(start))
		}
	}
	first := 0
	for last := range answered {
		for answered[last]-asked[first] >= w {
			first++
		}
		most = max(most, last-first+1)
	}
	return most, nil
}
