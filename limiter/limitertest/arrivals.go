package limitertest

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// pattern is a named sequence of arrivals on a clock that starts at a multiple
// of the window.
type pattern struct {
	name string
	hits []Hit
}

// patterns returns the arrivals that distinguish exact limiters from others,
// for a limit of n in the window w with segments of length s. They last at most
// five windows.
func patterns(n int64, w, s time.Duration) []pattern {
	rng := rand.New(rand.NewPCG(8, 60))
	apart := max(w/s/120, 1) // with many segments, only some edges, to keep it short
	return []pattern{
		{"steady at twice the limit", steady(n, w, 0, 4*w, 2)},
		{"bursts at every window edge", edges(n+1, w, w, 4)},
		{"bursts at segment edges", edges(max(n/20, 1), s*apart, w, int(2*w/(s*apart)))},
		{"full burst at the end of a window, then one at its start", sorted(burst(n, w-1), burst(n, w), burst(n, 2*w-1), burst(n, 2*w))},
		{"full burst at the end of a window, then steady", sorted(burst(n, w-1), steady(n, w, w, 3*w, 4))},
		{"full burst at the end of a segment, again a window later", again(n, w, s)},
		{"full burst at the start of a segment, again a window later", again(n, w, 0)},
		{"bursty, on and off", bursty(n, w)},
		{"poisson at twice the limit", poisson(rng, n, w, 1)},
		{"random costs", poisson(rng, n, w, max(n/4, 2))},
	}
}

func sorted(parts ...[]Hit) []Hit {
	return slices.SortedStableFunc(slices.Values(slices.Concat(parts...)), func(a, b Hit) int { return cmp.Compare(a.At, b.At) })
}

func burst(n int64, at time.Duration) []Hit {
	return slices.Repeat([]Hit{{at, 1}}, int(n))
}

// steady spreads factor times the limit evenly over [from, to).
func steady(n int64, w, from, to time.Duration, factor int64) (hits []Hit) {
	step := w / time.Duration(n*factor)
	for at := from; at < to; at += step {
		hits = append(hits, Hit{at, 1})
	}
	return hits
}

// edges puts a burst a nanosecond before, at and after each multiple of step,
// starting after one window.
func edges(n int64, step, w time.Duration, count int) (hits []Hit) {
	for i := range count {
		for _, d := range []time.Duration{-1, 0, 1} {
			hits = append(hits, burst(n, w+time.Duration(i)*step+d)...)
		}
	}
	return hits
}

// again fills the window at a time in the middle of a window, and tries again
// around the times at which those hits may leave: one window later, and one
// segment after that.
func again(n int64, w, s time.Duration) []Hit {
	t := w/2 + s
	if s > 0 {
		t-- // the last nanosecond of its segment
	}
	hits := [][]Hit{burst(n, t)}
	for _, d := range []time.Duration{w - 1, w, w + 1, w + s - 1, w + s, w + s + 1, 2 * w, 2*w + s} {
		hits = append(hits, burst(n, t+d))
	}
	return sorted(hits...)
}

// bursty alternates between five times the limit and silence.
func bursty(n int64, w time.Duration) []Hit {
	var parts [][]Hit
	for i := range time.Duration(6) {
		from := i * w * 2 / 3
		parts = append(parts, steady(n, w, from, from+w/5, 5))
	}
	return sorted(parts...)
}

// poisson offers twice the limit at random times, with random costs up to most.
func poisson(rng *rand.Rand, n int64, w time.Duration, most int64) (hits []Hit) {
	mean := float64(w) / float64(2*n) * float64(1+most) / 2
	for at := time.Duration(0); at < 4*w; at += time.Duration(rng.ExpFloat64() * mean) {
		hits = append(hits, Hit{at, 1 + rng.Int64N(most)})
	}
	return hits
}
