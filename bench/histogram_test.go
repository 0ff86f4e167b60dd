package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestHistogramAgainstSortedValues: a quantile is never below the true one, and
// less than 1 % above it.
func TestHistogramAgainstSortedValues(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := 1 + rng.IntN(3000)
		values := make([]time.Duration, n)
		h, halves := newHistogram(), [2]*histogram{newHistogram(), newHistogram()}
		for i := range values {
			// All orders of magnitude, and many values twice.
			values[i] = time.Duration(rng.Uint64() >> (1 + rng.IntN(63)))
			if i > 0 && rng.IntN(4) == 0 {
				values[i] = values[rng.IntN(i)]
			}
			h.record(values[i])
			halves[i%2].record(values[i])
		}
		halves[0].add(halves[1])
		slices.Sort(values)
		for _, q := range append([]float64{0, 1e-9, rng.Float64(), rng.Float64()}, quantiles...) {
			want := values[max(0, int(math.Ceil(q*float64(n)))-1)]
			got := h.quantile(q)
			if got < want || float64(got-want) > 0.01*float64(want) {
				t.Fatalf("seed %d, %d values: quantile %v is %d, want %d and at most 1 %% more", seed, n, q, got, want)
			}
			if sum := halves[0].quantile(q); sum != got {
				t.Fatalf("seed %d: quantile %v of two halves added is %d, of the whole %d", seed, q, sum, got)
			}
		}
		if got := h.quantile(1); got != values[n-1] {
			t.Fatalf("seed %d: the longest is %d, want exactly %d", seed, got, values[n-1])
		}
	}
}

// TestHistogramBuckets: the buckets cover all durations without a gap.
func TestHistogramBuckets(t *testing.T) {
	last := bucket(math.MaxInt64)
	if highest(last) != math.MaxInt64 {
		t.Errorf("the last bucket ends at %d", highest(last))
	}
	for i := range last {
		if v := highest(i); bucket(v) != i || bucket(v+1) != i+1 {
			t.Fatalf("bucket %d ends at %d, which is in %d; the next value is in %d", i, v, bucket(v), bucket(v+1))
		}
	}
}

func TestHistogramEdges(t *testing.T) {
	h := newHistogram()
	if got := h.quantile(0.99); got != 0 {
		t.Errorf("nothing was counted, and p99 is %v", got)
	}
	h.record(-time.Second) // was unblocked before Revoke returned
	if got := h.quantile(1); h.n != 1 || got != 0 {
		t.Errorf("a negative duration counts as %v", got)
	}
}
