package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// A counter counts the instructions of one operation of a scenario.
type counter func(context.Context, scenario) (int, error)

var errMissing = errors.New("missing component: valgrind: apt-get install valgrind, or your system's package of that name")

// callgrind returns a counter that runs this program under valgrind.
func callgrind() (counter, error) {
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		return nil, errMissing
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	total := func(ctx context.Context, s scenario, n int) (int, error) {
		cmd := exec.CommandContext(ctx, valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null",
			self, "-perform", s.name, "-n", strconv.Itoa(n))
		cmd.Env = append(os.Environ(), environment...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("%s: valgrind: %w\n%s", s.name, err, out)
		}
		m := collected.FindSubmatch(out)
		if m == nil {
			return 0, fmt.Errorf("%s: no count in the output of valgrind:\n%s", s.name, out)
		}
		return strconv.Atoi(string(m[1]))
	}
	return func(ctx context.Context, s scenario) (int, error) {
		few := s.n / 10
		before, err := total(ctx, s, few)
		if err != nil {
			return 0, err
		}
		after, err := total(ctx, s, few+s.n)
		return (after - before + s.n/2) / s.n, err
	}, nil
}

var collected = regexp.MustCompile(`(?m)^==\d+== Collected : (\d+)`)

// environment leaves as little to chance as can be: one thread that runs Go,
// no collector (no scenario needs more than some 50 MB), no signals that
// preempt, and the instructions of processors with AVX2, whether or not this
// one, and this valgrind, know newer ones.
var environment = []string{
	"GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=off",
	"GODEBUG=asyncpreemptoff=1,cpu.sha=off,cpu.rdtscp=off,cpu.avx512f=off,cpu.avx512bw=off,cpu.avx512vl=off",
}

// conditions are what a budget depends on, besides the code: the version of
// Go, and the kind of processor.
func conditions() string {
	c := runtime.Version() + " " + runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil && bytes.Contains(info, []byte(" avx2 ")) {
		c += "+avx2"
	}
	return c
}

// measure counts the scenarios, each so many times, on all processors at once,
// and returns the medians. A count does not depend on who else is at work.
func measure(ctx context.Context, count counter, all []scenario, times int) (map[string]int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type job struct{ scenario, turn int }
	var (
		jobs   = make(chan job)
		counts = make([][]int, len(all))
		group  sync.WaitGroup
	)
	for i := range counts {
		counts[i] = make([]int, times)
	}
	for range runtime.NumCPU() {
		group.Go(func() {
			for j := range jobs {
				n, err := count(ctx, all[j.scenario])
				if err != nil {
					cancel(err) // the first of them is the cause
				}
				counts[j.scenario][j.turn] = n
			}
		})
	}
	for i := range all {
		for turn := range times {
			jobs <- job{i, turn}
		}
	}
	close(jobs)
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	found := make(map[string]int, len(all))
	for i, s := range all {
		found[s.name] = slices.Sorted(slices.Values(counts[i]))[times/2]
	}
	return found, nil
}

// matching returns the scenarios whose names match.
func matching(only *regexp.Regexp) []scenario {
	return slices.DeleteFunc(scenarios(), func(s scenario) bool { return !only.MatchString(s.name) })
}
