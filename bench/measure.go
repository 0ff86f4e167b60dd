package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"time"
)

// cell is one table of a suite: everybody does the same there.
type cell struct {
	suite string
	keys  int
	load  string
	cpu   int
}

// sample is one round of one contestant.
type sample struct {
	n                 int
	ns, bytes, allocs float64 // per request; ns is wall time over all goroutines
}

// series is what one contestant did in one cell.
type series struct {
	cell    cell
	name    string
	samples []sample
}

func (s *series) column(of func(sample) float64) []float64 {
	c := make([]float64, len(s.samples))
	for i, x := range s.samples {
		c[i] = of(x)
	}
	return c
}

func nsOf(s sample) float64     { return s.ns }
func bytesOf(s sample) float64  { return s.bytes }
func allocsOf(s sample) float64 { return s.allocs }

// contestant is a peer that is ready to run.
type contestant struct {
	name string
	ops  func() op
	want func(token uint32) int // the right answer; nil: 200 for good tokens, 401 for others
}

// plan says how long to measure.
type plan struct {
	rounds int
	time   time.Duration // of one round of one contestant
	// profile is the folder for a CPU profile of each cell; "" is none.
	profile string
}

// measure lets the contestants take turns: A B C, B C A, C A B … Whatever the
// machine does meanwhile happens to all of them, and ratios are taken within
// a round.
func measure(c cell, contestants []contestant, seq []uint32, good int, p plan) ([]*series, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.cpu))
	all := make([]*series, len(contestants))
	runs := make([]*run, len(contestants))
	for i, x := range contestants {
		all[i] = &series{cell: c, name: x.name}
		runs[i] = newRun(x, seq, good, c.cpu)
		if err := runs[i].calibrate(p.time); err != nil {
			return nil, fmt.Errorf("%s: %w", x.name, err)
		}
	}
	stop, err := p.startProfile(c)
	if err != nil {
		return nil, err
	}
	defer stop()
	for round := range p.rounds {
		for turn := range contestants {
			if turn == 0 || c.keys <= fastSet { // a collection of millions of records takes seconds
				runtime.GC()
			}
			i := (turn + round) % len(contestants)
			s, err := runs[i].once(round * 7919)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", contestants[i].name, err)
			}
			all[i].samples = append(all[i].samples, s)
		}
	}
	return all, nil
}

func (p plan) startProfile(c cell) (stop func(), err error) {
	if p.profile == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(p.profile, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(p.profile, fmt.Sprintf("%s-%d-%s-%d.prof", c.suite, c.keys, c.load, c.cpu)))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}

// run drives one contestant.
type run struct {
	ops  []op // one for each goroutine
	want func(token uint32) int
	seq  []uint32
	n    int // requests in a round, of all goroutines together
}

func newRun(x contestant, seq []uint32, good, cpu int) *run {
	r := &run{seq: seq, want: x.want}
	for range cpu {
		r.ops = append(r.ops, x.ops())
	}
	if r.want == nil {
		r.want = func(token uint32) int {
			if int(token) < good {
				return 200
			}
			return 401
		}
	}
	return r
}

// calibrate finds how many requests fill a round.
func (r *run) calibrate(d time.Duration) error {
	for r.n = 64 * len(r.ops); ; {
		s, err := r.once(0)
		if err != nil {
			return err
		}
		took := time.Duration(max(s.ns*float64(s.n), 1000))
		if took > d/4 {
			r.n = max(len(r.ops), int(float64(r.n)*float64(d)/float64(took)))
			return nil
		}
		r.n *= 4
	}
}

// once makes the requests of one turn and checks every answer.
func (r *run) once(offset int) (sample, error) {
	var (
		group sync.WaitGroup
		gate  = make(chan struct{})
		wrong = make([]int, len(r.ops)*16) // apart, for the sake of the caches
		each  = r.n / len(r.ops)
	)
	for g, f := range r.ops {
		group.Go(func() {
			<-gate
			at, bad := (offset+g*len(r.seq)/len(r.ops))%len(r.seq), 0
			for range each {
				token := r.seq[at]
				if at++; at == len(r.seq) {
					at = 0
				}
				if f(token) != r.want(token) {
					bad++
				}
			}
			wrong[g*16] = bad
		})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	close(gate)
	group.Wait()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	for _, bad := range wrong {
		if bad > 0 {
			return sample{}, fmt.Errorf("%d of %d answers were wrong", bad, each)
		}
	}
	n := each * len(r.ops)
	per := func(a, b uint64) float64 { return float64(a-b) / float64(n) }
	return sample{
		n: n, ns: float64(took) / float64(n),
		bytes:  per(after.TotalAlloc, before.TotalAlloc),
		allocs: per(after.Mallocs, before.Mallocs),
	}, nil
}

// median returns the middle of the values; 0 for none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	m := len(v) / 2
	if len(v)%2 == 0 {
		return (v[m-1] + v[m]) / 2
	}
	return v[m]
}

// ratios returns a over b, round by round.
func ratios(a, b *series) []float64 {
	q := make([]float64, 0, len(a.samples))
	for i := range min(len(a.samples), len(b.samples)) {
		q = append(q, a.samples[i].ns/b.samples[i].ns)
	}
	return q
}
