package main

import (
	"math"
	"math/bits"
	"time"
)

// quantiles are the points of every line; 1 is the longest of all.
var quantiles = []float64{0.5, 0.9, 0.99, 0.999, 0.9999, 1}

// histogram counts durations in buckets that are less than 1 % wide, from a
// nanosecond to the end of time.Duration: every power of two is cut into
// 2^histogramBits equal parts (log-linear, as in Gil Tene's HdrHistogram).
// Below 2^(histogramBits+1) ns it is exact.
type histogram struct {
	counts []uint64
	n      uint64
	max    time.Duration
}

// histogramBits: a bucket is at most 1/128 of its lower bound wide.
const histogramBits = 7

func newHistogram() *histogram {
	return &histogram{counts: make([]uint64, bucket(math.MaxInt64)+1)}
}

// bucket returns the place of a value.
func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-histogramBits-1)
	return shift<<histogramBits + int(v>>shift)
}

// highest returns the largest value whose place is i.
func highest(i int) uint64 {
	shift := max(0, i>>histogramBits-1)
	low := uint64(i - shift<<histogramBits)
	return (low+1)<<shift - 1
}

// record counts d. What is negative counts as 0.
func (h *histogram) record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.n++
	h.max = max(h.max, d)
}

// add counts everything that g has counted.
func (h *histogram) add(g *histogram) {
	for i, c := range g.counts {
		h.counts[i] += c
	}
	h.n += g.n
	h.max = max(h.max, g.max)
}

// quantile returns the smallest duration that the part q of all values does
// not exceed: the upper end of its bucket, which is less than 1 % more than the
// value itself and never less. 0 if nothing was counted.
func (h *histogram) quantile(q float64) time.Duration {
	rank := max(1, uint64(math.Ceil(q*float64(h.n))))
	for i, c := range h.counts {
		if c >= rank {
			return min(time.Duration(highest(i)), h.max)
		}
		rank -= c
	}
	return h.max
}

// line returns the histogram as a line of a distribution.
func (h *histogram) line(name string) latencyLine {
	l := latencyLine{name: name}
	for _, q := range quantiles {
		l.points = append(l.points, latencyPoint{q, h.quantile(q)})
	}
	return l
}
