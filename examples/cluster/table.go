//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// watch prints a line every second.
func (c *cluster) watch(ctx context.Context, out io.Writer) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var before [5]int64
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var asking sync.WaitGroup
		for _, m := range c.members {
			asking.Go(func() { _, _ = m.health(ctx) })
		}
		asking.Wait()
		if ctx.Err() != nil {
			return
		}
		if c.heading.Swap(false) {
			fmt.Fprintln(out, "   time    200   401   429   503 other | ended  p50 ms    p99    max | stale  over | lease: one           two           three")
		}
		var now, step [5]int64
		for i := range c.judge.answers {
			t := &c.judge.answers[i]
			for n, v := range []int64{t.ok.Load(), t.unauthorized.Load(), t.limited.Load(), t.unavailable.Load(), t.other.Load()} {
				now[n] += v
			}
		}
		for n := range now {
			step[n] = now[n] - before[n]
		}
		before = now
		var elsewhere []time.Duration
		revoked := 0
		c.judge.with(func(f *figures) { elsewhere, revoked = slices.Clone(f.elsewhere), len(f.revokes) })
		var states []string
		for _, m := range c.members {
			states = append(states, fmt.Sprintf("%-13s", state(m)))
		}
		fmt.Fprintf(out, "%5.0f s %6d %5d %5d %5d %5d | %5d %7s %6s %6s | %5d %5d | %s\n", c.judge.now().Seconds(),
			step[0], step[1], step[2], step[3], step[4], revoked,
			ms(percentile(elsewhere, 0.5)), ms(percentile(elsewhere, 0.99)), ms(percentile(elsewhere, 1)),
			c.judge.stale(), c.over(), strings.Join(states, " "))
	}
}

// state is an instance's lease, in a word or two.
func state(m *member) string {
	r := m.last.Load()
	switch {
	case r == nil:
		return "no answer"
	case !r.Ready:
		return "ended"
	case r.Position > r.Acked:
		return fmt.Sprintf("%.1f s, lag %d", r.LeaseLeft.Seconds(), r.Position-r.Acked)
	default:
		return fmt.Sprintf("%.1f s", r.LeaseLeft.Seconds())
	}
}

func ms(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", d.Seconds()*1000)
}

// summary prints the figures of each script, and what was broken.
func (j *judge) summary(out io.Writer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range j.scripts {
		f := j.figures[name]
		fmt.Fprintf(out, "\n%s: %d rounds, %d secrets ended\n", name, f.rounds, len(f.revokes))
		if len(f.revokes) > 0 {
			fmt.Fprintf(out, "  to end a secret took             p50 %s, p99 %s, max %s ms\n",
				ms(percentile(f.revokes, 0.5)), ms(percentile(f.revokes, 0.99)), ms(percentile(f.revokes, 1)))
			fmt.Fprintf(out, "  last accept after that call      %s ms\n", ms(f.lastUse))
		}
		if len(f.elsewhere) > 0 {
			fmt.Fprintf(out, "  from the call to 401 elsewhere   p50 %s, p99 %s, max %s ms\n",
				ms(percentile(f.elsewhere, 0.5)), ms(percentile(f.elsewhere, 0.99)), ms(percentile(f.elsewhere, 1)))
		}
		fmt.Fprintf(out, "  good keys, instances left alone  %d requests, %d not answered with 200\n", f.good, f.disturbed)
		if f.refused503 > 0 {
			fmt.Fprintf(out, "  503 at instances in trouble      %d\n", f.refused503)
		}
		fmt.Fprintf(out, "  limit of %d in %v         at most %d in a window, %d refused\n", limitN, limitWindow, f.most, f.limited)
		for _, n := range f.notes[max(0, len(f.notes)-9):] {
			fmt.Fprintln(out, " ", n)
		}
		verdict := "passed"
		if len(f.violations) > 0 {
			verdict = "FAILED"
		}
		fmt.Fprintln(out, " ", verdict)
		for _, rule := range slices.Sorted(maps.Keys(f.violations)) {
			fmt.Fprintf(out, "  %d times: %s\n", f.violations[rule], rule)
		}
	}
	if n := j.unsent.Load(); n > 0 {
		fmt.Fprintf(out, "\n%d requests of the load were not sent: %d were under way at their instance\n", n, most)
	}
	for _, e := range j.evidence {
		fmt.Fprintln(out, e)
	}
}
