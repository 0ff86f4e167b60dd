package main

import (
	"fmt"
	"slices"
)

// verdict is one goal and what became of it.
type verdict struct {
	figure, where, measured, goal string
	pass                          bool
}

// must records what became of a goal whose miss makes the program fail.
func (r *report) must(pass bool, figure, where, measured, goal string) {
	r.goal(pass, figure, where, measured, goal)
	if !pass {
		r.missed = append(r.missed, fmt.Sprintf("%s (%s): %s, want %s", figure, where, measured, goal))
	}
}

// ratioGoal wants one contestant to take at most a part of another's time.
type ratioGoal struct {
	suite, ours, rival string
	keys               int
	most               float64
}

var ratioGoals = []ratioGoal{
	{"peers", "latchkey-Require", "hand-typical", 1, 0.70},
	{"peers", "latchkey-Require", "hand-typical", 10_000, 1.0},
	{"peers", "latchkey-Require", "hand-careful", 10_000, 1.4},
	{"peers", "latchkey-Require", "hand-typical+2rate", 10_000, 0.55},
	{"peers", "latchkey-Require", "echo-keyauth+2limiters", 10_000, 0.50},
	{"peers", "latchkey-Require", "hand-typical+2httprate", 10_000, 0.45},
	{"peers", "latchkey-Require", "fiber-keyauth+2sliding", 10_000, 0.30},

	{"peers", "latchkey-HandlerFunc", "hand-typical", 10_000, 0.70},
	{"peers", "latchkey-HandlerFunc", "hand-careful", 10_000, 1.0},

	{"limiters", "latchkey-Window", "go-limiter", 10_000, 0.5},
	{"limiters", "latchkey-Window", "go-limiter", 1_000_000, 0.7},
	{"limiters", "latchkey-Window", "xtime-rate", 10_000, 0.30},
	{"limiters", "latchkey-Window", "xtime-rate", 1_000_000, 0.33},
	{"limiters", "latchkey-Window", "httprate", 10_000, 0.05},
	{"limiters", "latchkey-Window", "httprate", 1_000_000, 0.33},

	{"micro", "Require-mistyped", "hand-typical-unknown", 1, 0.10},
	{"micro", "Require-unknown", "hand-typical-unknown", 1, 0.35},
}

// judge holds the results against the goals. What was not measured is not
// judged.
func (r *report) judge() {
	for _, g := range ratioGoals {
		for _, s := range r.series {
			if s.cell.suite != g.suite || s.cell.keys != g.keys || s.name != g.ours {
				continue
			}
			rival := r.find(s.cell, g.rival)
			if rival == nil {
				continue
			}
			q := ratios(s, rival)
			m := median(q)
			r.verdicts = append(r.verdicts, verdict{
				figure: g.ours + " / " + g.rival, where: place(s.cell), pass: m <= g.most,
				measured: fmt.Sprintf("%.2fx [%.2f, %.2f]", m, slices.Min(q), slices.Max(q)), goal: fmt.Sprintf("<= %.2fx", g.most),
			})
		}
	}
	for _, name := range []string{"latchkey-Require", "latchkey-Window"} {
		r.judgeScaling(name)
	}
	r.judgeAllocations()
	r.judgeArming()
	r.judgeCut()
	r.judgeAccuracy()
}

func place(c cell) string {
	return fmt.Sprintf("%s, %s, %d CPU", counted(c.keys, "key"), c.load, c.cpu)
}

// judgeScaling compares two cores with one.
func (r *report) judgeScaling(name string) {
	for _, s := range r.series {
		if s.name != name || s.cell.cpu != 1 || s.cell.suite == "micro" {
			continue
		}
		c := s.cell
		c.cpu = 2
		two := r.find(c, name)
		if two == nil {
			continue
		}
		gain := median(ratios(s, two))
		v := verdict{figure: name + ", throughput 2 cores / 1 core", where: fmt.Sprintf("%s, %s", counted(c.keys, "key"), c.load)}
		if c.load == hot {
			v.figure = name + ", one key, time of a request 2 cores / 1 core"
			v.measured, v.goal, v.pass = fmt.Sprintf("%.2fx", 2/gain), "<= 1.5x", 2/gain <= 1.5
		} else {
			v.measured, v.goal, v.pass = fmt.Sprintf("%.2fx", gain), ">= 1.8x", gain >= 1.8
		}
		r.verdicts = append(r.verdicts, v)
	}
}

// allocationGoals are allocations and bytes of one request in the micro suite.
var allocationGoals = []struct {
	name          string
	allocs, bytes float64
}{
	{"Decide", 0, 0},
	{"HandlerFunc", 0, 0},
	{"Require", 1, 480},
	{"Decide-missing", 0, 0},
	{"Decide-mistyped", 0, 0},
	{"Decide-unknown", 0, 0},
	{"Decide-scope", 0, 0},
	{"Decide-limited", 0, 0},
}

func (r *report) judgeAllocations() {
	for _, g := range allocationGoals {
		for _, s := range r.series {
			if s.cell.suite != "micro" || s.name != g.name {
				continue
			}
			allocs, bytes := median(s.column(allocsOf)), median(s.column(bytesOf))
			r.verdicts = append(r.verdicts, verdict{
				figure: g.name + ", allocations", where: place(s.cell),
				measured: fmt.Sprintf("%.2f, %.0f B", allocs, bytes), goal: fmt.Sprintf("<= %.0f, %.0f B", g.allocs, g.bytes),
				// The runtime allocates a little on its own in a round.
				pass: allocs <= g.allocs+0.01 && bytes <= g.bytes+1,
			})
		}
	}
}
