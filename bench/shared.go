package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// The shared suite measures the limiters that several processes share, in Redis
// and in PostgreSQL, beside the least that such a limiter can do there and beside
// what people use. Each decision is two exact windows of one key, those of the
// free plan.

// The goals of the suite.
const (
	mostOverFloor   = 2.0 // in the server: two windows / a script of GET, TIME and SET
	mostGeneral     = 1.2 // in the server, / two windows
	mostWithSlot    = 1.3
	mostSettle      = 1.2
	mostAlone       = 1.3 // p50 / INCR with one caller
	mostAmongSome   = 2.0 // with 16
	leastAmongMany  = 0.5 // rate / INCR with 128
	leastSameClient = 1.8 // rate / two calls of redis_rate
	leastBestClient = 4.0
	mostUsedOnce    = 200 // bytes
	mostActive      = 1500
	leastManyRows   = 0.5 // rate / UPDATE … RETURNING on PostgreSQL
	leastOneRow     = 0.4
	mostFloodTrips  = 2.0 // a second
)

// sharedShape is how large a run of the suite is.
type sharedShape struct {
	keys    int // and calls of a turn, at most
	rounds  int
	batches int           // turns of each script in the server
	batch   int           // calls of one of them
	flood   time.Duration // of refusals
	edge    time.Duration // the window whose edges are tried; 0 for none
}

func sharedSuite(o *options, out *report) error {
	return sharedOf(o, out, sharedShape{
		keys: 10_000, rounds: o.plan.rounds, batches: 40 * o.plan.rounds, batch: 64, flood: 5 * time.Second, edge: 2 * time.Second,
	})
}

func sharedOf(o *options, out *report, shape sharedShape) error {
	for _, part := range []struct {
		name string
		run  func(*testing.T, *report, sharedShape) error
	}{{"redis", sharedRedis}, {"postgres", sharedPostgres}} {
		if !o.only.MatchString(part.name) {
			continue
		}
		err := errSkipped
		if !o.t.Run(part.name, func(t *testing.T) { err = part.run(t, out, shape) }) && err == errSkipped {
			err = errors.New("the server did not start")
		}
		if errors.Is(err, errSkipped) {
			out.progress("shared: %s %v", part.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

var errSkipped = errors.New("is left out: it is not installed here")

// freeLimits are the windows of the free plan.
func freeLimits() []apikey.Limit {
	return []apikey.Limit{apikey.PerMinute(freePlan.minute), apikey.PerDay(freePlan.day)}
}

// subjectOf returns the subject of key i. All are of one length, that of the ids
// of keys.
func subjectOf(i int) string { return fmt.Sprintf(subjectFormat, i) }

const subjectFormat = "key:%016d"

// requestsOf returns a request of each of n keys.
func requestsOf(n int, limits []apikey.Limit, amounts ...limiter.Amount) []limiter.Request {
	all := make([]limiter.Request, n)
	for i := range all {
		all[i] = limiter.Request{Demands: []limiter.Demand{{Subject: subjectOf(i), Limits: limits}}, Amounts: amounts}
	}
	return all
}

// sharedArm is one contestant.
type sharedArm struct {
	name    string
	prepare func(n int) error // before a turn; nil: nothing
	call    func(i int) error // once for each i < n
	turns   []sharedTurn
}

type sharedTurn struct {
	p50  float64 // ns
	rate float64 // a second
}

func p50Of(t sharedTurn) float64  { return t.p50 }
func rateOf(t sharedTurn) float64 { return t.rate }

// takeTurns lets the arms make n calls each in every round, by so many callers.
func takeTurns(out *report, title string, arms []*sharedArm, rounds, callers, n int) error {
	for _, a := range arms {
		a.turns = nil
		if _, err := a.turn(callers, n); err != nil { // connections, plans, memory
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	for round := range rounds {
		out.progress("%s: round %d of %d", title, round+1, rounds)
		for turn := range arms {
			a := arms[(turn+round)%len(arms)]
			t, err := a.turn(callers, n)
			if err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			a.turns = append(a.turns, t)
		}
	}
	return nil
}

func (a *sharedArm) turn(callers, n int) (t sharedTurn, err error) {
	if a.prepare != nil {
		if err := a.prepare(n); err != nil {
			return t, err
		}
	}
	took := make([]float64, n)
	start := time.Now()
	err = eachOf(callers, n, func(i int) error {
		begun := time.Now()
		err := a.call(i)
		took[i] = float64(time.Since(begun))
		return err
	})
	return sharedTurn{median(took), float64(n) / time.Since(start).Seconds()}, err
}

// eachOf calls f for each i < n, by so many callers at the same time.
func eachOf(callers, n int, f func(i int) error) error {
	errs := make([]error, callers)
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for i := c; i < n && errs[c] == nil; i += callers {
				errs[c] = f(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// over returns the ratios to another arm, round by round.
func (a *sharedArm) over(b *sharedArm, of func(sharedTurn) float64) []float64 {
	q := make([]float64, len(a.turns))
	for i := range q {
		q[i] = of(a.turns[i]) / of(b.turns[i])
	}
	return q
}

func (a *sharedArm) median(of func(sharedTurn) float64) float64 {
	all := make([]float64, len(a.turns))
	for i, t := range a.turns {
		all[i] = of(t)
	}
	return median(all)
}

// reportTurns adds a table of arms beside the first of them.
func reportTurns(out *report, title, note string, arms []*sharedArm) {
	out.tables = append(out.tables, table{title: title, note: note + " " + machineLoad(), columns: []string{
		"contestant", "p50", "p50 / " + arms[0].name, "lowest", "highest", "a second", "rate / " + arms[0].name, "lowest", "highest",
	}})
	for _, a := range arms {
		p50, rate := a.over(arms[0], p50Of), a.over(arms[0], rateOf)
		out.row(title, a.name, micros(a.median(p50Of)), ratioText(median(p50)), ratioText(slices.Min(p50)), ratioText(slices.Max(p50)),
			fmt.Sprintf("%.0f", a.median(rateOf)), ratioText(median(rate)), ratioText(slices.Min(rate)), ratioText(slices.Max(rate)))
	}
}

func ratioText(q float64) string { return fmt.Sprintf("%.2f", q) }

// atMost and atLeast judge the median of ratios.
func (r *report) atMost(most float64, figure, where string, q []float64) {
	r.goal(median(q) <= most, figure, where, rangeText(q), fmt.Sprintf("<= %.2fx", most))
}

func (r *report) atLeast(least float64, figure, where string, q []float64) {
	r.goal(median(q) >= least, figure, where, rangeText(q), fmt.Sprintf(">= %.2fx", least))
}

func rangeText(q []float64) string {
	return fmt.Sprintf("%.2fx [%.2f, %.2f]", median(q), slices.Min(q), slices.Max(q))
}

// machineLoad says what else the machine does, where the system tells.
func machineLoad() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return ""
	}
	return fmt.Sprintf("Load of the machine in the last 1, 5 and 15 minutes, this program included: %s.", strings.Join(fields[:3], ", "))
}
