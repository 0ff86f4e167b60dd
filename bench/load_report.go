package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
)

// loadGoal wants a figure of ours to be at most, or at least, so many times a
// rival's.
type loadGoal struct {
	figure      string
	rival       string
	turns       func(*loaded) []loadTurn
	of          func(loadTurn) float64
	least, most float64
}

func closedTurns(c *loaded) []loadTurn { return c.closed }
func openedTurns(c *loaded) []loadTurn { return c.opened }

var loadGoals = []loadGoal{
	{"server CPU of a request", "bare", closedTurns, loadTurn.cpuEach, 0, 1.10},
	{"server CPU of a request", "hand-typical", closedTurns, loadTurn.cpuEach, 0, 1.02},
	{"requests a second", "hand-typical", closedTurns, loadTurn.perSecond, 1.0, math.Inf(1)},
	{"requests a second", "hand-typical+2httprate", closedTurns, loadTurn.perSecond, 1.2, math.Inf(1)},
	{"p99 at a constant rate", "bare", openedTurns, loadTurn.p99, 0, 1.10},
}

// loadOurs is the contestant that the goals are about.
const loadOurs = "latchkey-Require"

func (l *loadRun) find(name string) *loaded {
	for _, c := range l.all {
		if c.name == name {
			return c
		}
	}
	return nil
}

// against returns the ratios of two contestants, round by round; nil if one of
// them did not run.
func (l *loadRun) against(ours, rival string, turns func(*loaded) []loadTurn, of func(loadTurn) float64) []float64 {
	a, b := l.find(ours), l.find(rival)
	if a == nil || b == nil {
		return nil
	}
	q := columnOf(turns(a), of)
	for i, x := range columnOf(turns(b), of) {
		q[i] /= x
	}
	return q
}

func (l *loadRun) judge() {
	where := fmt.Sprintf("real server, %d keys, %d connections, %d CPU", l.shape.keys, l.shape.connections, 1)
	for _, g := range loadGoals {
		q := l.against(loadOurs, g.rival, g.turns, g.of)
		if q == nil {
			continue
		}
		goal := fmt.Sprintf("<= %.2fx", g.most)
		if math.IsInf(g.most, 1) {
			goal = fmt.Sprintf(">= %.2fx", g.least)
		}
		m := median(q)
		l.out.goal(g.least <= m && m <= g.most, fmt.Sprintf("%s, %s / %s", g.figure, loadOurs, g.rival), where,
			fmt.Sprintf("%.3fx [%.3f, %.3f]", m, slices.Min(q), slices.Max(q)), goal)
	}
}

const loadNote = `A server of net/http on 127.0.0.1 in a process of its own, one address for each contestant, GOMAXPROCS=1; the load
generator beside it, GOMAXPROCS=1. %s The generator writes prepared bytes to %d keep-alive connections and reads
status and Content-Length, one request at a time on each: the client of net/http would cost more than the server. Keys
come as in Zipf with s = 1.1, all of them good. Medians of %d rounds of %v; ratios are taken within a round.
"Generator away" is the part of the time in which the machine took the core from the generator for over %v.`

const closedNote = `

Each connection sends its next request when it has the answer; the server is never idle ("server busy" tells how nearly). Server CPU is
user and system time of the whole process, the collector's and the kernel's share for TCP included. The usage that
latchkey counts is written at the end of each turn instead of every %v, and the turn is charged with its share of that.

What this does not show: a network, TLS, HTTP/2, handlers that do something (against them a guard weighs less), more
than one core. All contestants live in one process, so that they have the same heap and the same collector; a bare
handler alone has a smaller heap, and collects more often.`

const openNote = `

Requests are due at fixed instants, %.0f a second for every contestant: half of what the slowest of them can do. Latency is counted
from the instant at which a request was due, not from when it was sent: nothing is omitted when the server stalls, and
a stall of the generator itself is counted, too. Latencies are exact to 1 %%. p50 to longest are of the requests of all
rounds together; the ratio is the median of the rounds' ratios.

What this does not show: a network, whose latency is some hundred times as long. Client and server spend part of each
other's time in the kernel, since a loopback packet is received in the sender's call. With %d requests in a round, p99.9 and the longest say
more about the machine than about the contestants.`

// calm is the least part of a closed loop for which the server must have its
// core. Below that something else ran there, or the generator was too slow.
const calm = 0.9

const disturbedNote = `

**A disturbed run**: while there was always something to do, the server had its core for no more than %.0f %% of the time. Something
else ran on this machine: requests a second and latencies tell of that, and caches were shared, which makes CPU time longer, too.`

// disturbed returns what to say of a run that was not alone on the machine.
func (l *loadRun) disturbed() string {
	least := 1.0
	for _, c := range l.all {
		least = min(least, median(columnOf(c.closed, loadTurn.busy)))
	}
	if least >= calm {
		return ""
	}
	return fmt.Sprintf(disturbedNote, 100*least)
}

func (l *loadRun) report(rate float64) {
	cores := "The two are not pinned to cores of their own, because this system does not let us or has only one."
	if l.pinned {
		cores = fmt.Sprintf("Each is pinned to a core of its own of the %d.", runtime.NumCPU())
	}
	note := fmt.Sprintf(loadNote, cores, l.shape.connections, l.shape.rounds, l.shape.turn, awayFrom)
	note += l.disturbed()
	closed := fmt.Sprintf("load: as fast as it goes, %d keys", l.shape.keys)
	opened := fmt.Sprintf("load: %.0f requests a second, %d keys", rate, l.shape.keys)
	l.out.tables = append(
		l.out.tables,
		table{title: closed, note: note + fmt.Sprintf(closedNote, flushEvery), columns: []string{
			"contestant", "requests/s", "lowest", "highest", "× bare", "server CPU/request", "× bare", "server busy", "generator away",
		}},
		table{title: opened, note: note + fmt.Sprintf(openNote, rate, int(rate*l.shape.turn.Seconds())), columns: []string{
			"contestant", "p50", "p90", "p99", "p99.9", "longest", "p99 × bare", "server CPU/request", "× bare", "server busy", "generator away",
		}},
	)
	d := distribution{title: opened}
	for _, c := range l.all {
		over := func(turns func(*loaded) []loadTurn, of func(loadTurn) float64) string {
			if q := l.against(c.name, "bare", turns, of); q != nil {
				return fmt.Sprintf("%.3f", median(q))
			}
			return "-"
		}
		middle := func(turns []loadTurn, of func(loadTurn) float64) float64 { return median(columnOf(turns, of)) }
		percent := func(turns []loadTurn, of func(loadTurn) float64) string {
			return fmt.Sprintf("%.1f %%", 100*middle(turns, of))
		}
		speeds := columnOf(c.closed, loadTurn.perSecond)
		l.out.row(
			closed, c.name, fmt.Sprintf("%.0f", median(speeds)), fmt.Sprintf("%.0f", slices.Min(speeds)), fmt.Sprintf("%.0f", slices.Max(speeds)),
			over(closedTurns, loadTurn.perSecond), micros(middle(c.closed, loadTurn.cpuEach)), over(closedTurns, loadTurn.cpuEach),
			percent(c.closed, loadTurn.busy), percent(c.closed, loadTurn.lost),
		)
		h := newHistogram()
		for _, t := range c.opened {
			h.add(t.latency)
		}
		cells := []string{c.name}
		for _, q := range []float64{0.5, 0.9, 0.99, 0.999, 1} {
			cells = append(cells, micros(float64(h.quantile(q))))
		}
		l.out.row(opened, append(
			cells, over(openedTurns, loadTurn.p99), micros(middle(c.opened, loadTurn.cpuEach)), over(openedTurns, loadTurn.cpuEach),
			percent(c.opened, loadTurn.busy), percent(c.opened, loadTurn.lost),
		)...)
		d.lines = append(d.lines, h.line(c.name))
	}
	l.out.distributions = append(l.out.distributions, d)
	l.judge()
}

// micros writes nanoseconds as microseconds.
func micros(ns float64) string { return fmt.Sprintf("%.2f µs", ns/float64(time.Microsecond)) }
