package main

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// The memory suite fills each contestant with keys, the one before it freed,
// and looks at the heap: what a key costs, what it costs once it has gone idle,
// and how long a collection takes.

// freePlan is the budget of the memory suite. Counters may be narrower for it
// than for the roomy one.
var freePlan = budget{60, 1000}

const (
	inUseTable = "memory: limits of a key in use on the free plan"
	idleTable  = "memory: limits of a key that went idle"
	ourTable   = "memory: a key in latchkey"

	mostInUse = 512 // bytes of a key's windows
	mostGC    = 0.1 // of a collection with two x/time/rate limiters a key
	mostLeft  = 2 << 20
)

func memorySuite(o *options, out *report) error {
	sizes := []int{1_000, 100_000}
	note := ""
	if slices.Contains(o.keys, 1_000_000) {
		sizes = append(sizes, 1_000_000)
	} else {
		note = " 1,000,000 keys were not measured: -keys does not name them."
	}
	return memoryOf(o, out, sizes, note)
}

func memoryOf(o *options, out *report, sizes []int, note string) error {
	columns := []string{"contestant", "keys", "B a key", "collection ms", "lowest", "× latchkey-Window"}
	out.tables = append(
		out.tables,
		table{
			title: inUseTable, columns: columns, note: "Each key used once. Bytes are the growth of the heap after two collections, with the key's id and the table that it\nstands in. A collection is the processor time of runtime.GC(), on\nall cores together; the median of the rounds and the lowest." + note,
		},
		table{
			title: idleTable, columns: []string{"contestant", "keys", "B a key in use", "B a key left", "KiB left in all"},
			note: "Keys used once; 24 h and one segment later 100 other keys make ten requests for each of the idle ones. In virtual time.",
		},
		table{
			title: ourTable, columns: []string{"what", "keys", "B a key", "collection ms", "lowest"},
			note: "cache: verified once, without the store's own. guard: admitted once, which adds windows, usage and the place of requests in flight.",
		},
	)
	for _, n := range sizes {
		if err := limitsInUse(o, out, n); err != nil {
			return err
		}
		if err := limitsIdle(o, out, n); err != nil {
			return err
		}
		if err := keysInUse(o, out, n); err != nil {
			return err
		}
	}
	return readsOfKeys(out)
}

// heap returns the bytes that are reachable.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// collections returns what full collections take of all cores, in milliseconds.
func collections(rounds int) []float64 {
	ms := make([]float64, rounds)
	for i := range ms {
		start := processorTime()
		runtime.GC()
		ms[i] = float64(processorTime()-start) / float64(time.Millisecond)
	}
	return ms
}

// numbered returns an id that nobody else holds, as a server has it that just
// read a request: who wants to keep it pays for it.
func numbered(kind byte, i int) string { return fmt.Sprintf("%c%015d", kind, i) }

// limiterOf opens a limiter as it is in the other suites and returns it as one
// function of an id.
func limiterOf(p peer, n int) (allow, func(), error) {
	k := &keyset{n: n, budget: freePlan, ids: []string{""}}
	ops, closer, err := p.open(k)
	if err != nil {
		return nil, nil, err
	}
	f := ops()
	return func(id string) bool {
		k.ids[0] = id
		return f(0) == 200
	}, closer, nil
}

func useOnce(f allow, n int) error {
	for i := range n {
		if !f(numbered('k', i)) {
			return fmt.Errorf("the first request of key %d was refused", i)
		}
	}
	return nil
}

func limitsInUse(o *options, out *report, n int) error {
	var window, rate float64 // milliseconds of a collection
	for _, p := range o.chosen(limitersAlone()) {
		out.progress("memory: %d keys: %s", n, p.name)
		out.setup(p)
		before := heap()
		f, closer, err := limiterOf(p, n)
		if err == nil {
			err = useOnce(f, n)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		each := float64(heap()-before) / float64(n)
		ms := collections(o.plan.rounds)
		runtime.KeepAlive(f)
		closer()
		switch p.name {
		case "latchkey-Window":
			window = median(ms)
			out.goal(each <= mostInUse, "bytes of a key's windows in use, free plan, id and table included",
				fmt.Sprintf("%d keys", n), fmt.Sprintf("%.0f B", each), fmt.Sprintf("<= %d B", mostInUse))
		case "xtime-rate":
			rate = median(ms)
		}
		ratio := "-"
		if window > 0 {
			ratio = fmt.Sprintf("%.2f", median(ms)/window)
		}
		out.row(inUseTable, p.name, fmt.Sprint(n), fmt.Sprintf("%.0f", each), fmt.Sprintf("%.2f", median(ms)), fmt.Sprintf("%.2f", slices.Min(ms)), ratio)
	}
	if window > 0 && rate > 0 && n >= 1_000_000 {
		out.goal(window/rate <= mostGC, "a collection with latchkey-Window / with two x/time/rate limiters a key", fmt.Sprintf("%d keys", n),
			fmt.Sprintf("%.2fx (%.0f / %.0f ms)", window/rate, window, rate), fmt.Sprintf("<= %.2fx", mostGC))
	}
	return nil
}

// collectsIdle are the limiters that start no goroutine and look at the
// bubble's clock: the others cannot be measured in virtual time.
var collectsIdle = []string{"latchkey-Window", "xtime-rate", "httprate", "echo-store"}

func limitsIdle(o *options, out *report, n int) error {
	const live = 100
	for _, p := range o.chosen(limitersAlone()) {
		if !slices.Contains(collectsIdle, p.name) {
			continue
		}
		out.progress("memory: %d idle keys: %s", n, p.name)
		var used, left float64
		var err error
		synctest.Test(o.t, func(*testing.T) {
			before := heap()
			var f allow
			var closer func()
			if f, closer, err = limiterOf(p, n); err != nil {
				return
			}
			defer closer()
			if err = useOnce(f, n); err != nil {
				return
			}
			used = float64(heap()-before) / float64(n)
			time.Sleep(day + 10*time.Minute + time.Second)
			others := make([]string, live)
			for i := range others {
				others[i] = numbered('o', i)
			}
			for i := range 10 * n {
				f(others[i%live])
			}
			left = float64(heap()-before) / float64(n)
			runtime.KeepAlive(f)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		out.row(idleTable, p.name, fmt.Sprint(n), fmt.Sprintf("%.0f", used), fmt.Sprintf("%.2f", left), fmt.Sprintf("%.0f", left*float64(n)/1024))
		if p.name == "latchkey-Window" && n >= 100_000 {
			out.goal(left*float64(n) <= mostLeft, "heap left by keys that went idle", fmt.Sprintf("%d keys", n),
				fmt.Sprintf("%.0f KiB, %.2f B a key", left*float64(n)/1024, left), "the live keys and empty tables alone: <= 2 MiB, however many keys")
		}
	}
	return nil
}
