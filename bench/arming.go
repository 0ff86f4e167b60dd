package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

// measureArming finds what it costs to arm the cut: a call with Begin less one
// without. It is a few nanoseconds of hundreds, too little for rounds
// that other programs disturb, so the two take turns every few hundred calls.
func (r *report) measureArming(all []contestant, total time.Duration) {
	find := func(name string) op {
		for _, c := range all {
			if c.name == name {
				return c.ops()
			}
		}
		return nil
	}
	if plain, armed := find("Decide"), find(decideBegin); plain != nil && armed != nil {
		r.progress("micro: cost of arming the cut")
		r.arming = differences(plain, armed, total)
	}
}

// differences returns, sorted, what each block of calls of b took longer than
// the block of a beside it, in nanoseconds a call.
func differences(a, b op, total time.Duration) (all []float64) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const calls = 256
	block := func(f op) float64 {
		start := time.Now()
		for range calls {
			f(0)
		}
		return float64(time.Since(start)) / calls
	}
	for start := time.Now(); len(all) < 16 || time.Since(start) < total; {
		// Either is first once.
		x, y := block(a), block(b)
		y2, x2 := block(b), block(a)
		all = append(all, y-x, y2-x2)
	}
	slices.Sort(all)
	return all
}

func (r *report) judgeArming() {
	c := cell{"micro", 1, hot, 1}
	armed, plain := r.find(c, decideBegin), r.find(c, "Decide")
	if len(r.arming) == 0 || armed == nil || plain == nil {
		return
	}
	n, cost := len(r.arming), median(r.arming)
	allocs := max(median(armed.column(allocsOf))-median(plain.column(allocsOf)), 0)
	r.goal(cost <= 10 && allocs <= 0.01, "cut armed, handler that ignores its context: on top of Decide and End", place(c),
		fmt.Sprintf("%.1f ns (half within %.1f to %.1f), %.2f allocations", cost, r.arming[n/4], r.arming[n*3/4], allocs), "<= 10 ns, 0 allocations")
}
