package limitertest

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestWorstLooksAtEveryInterval(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name    string
		history []Hit
		cost    int64
		start   time.Duration
	}{
		{"nothing", nil, 0, 0},
		{"one hit", []Hit{{5 * s, 3}}, 3, 5 * s},
		{"half-open: a hit at the end is outside", []Hit{{0, 1}, {10 * s, 1}}, 1, 0},
		{"a nanosecond earlier is inside", []Hit{{0, 1}, {10*s - 1, 1}}, 2, 0},
		{"the middle", []Hit{{0, 1}, {11 * s, 2}, {20 * s, 2}, {25 * s, 1}}, 4, 11 * s},
		{"in any order", []Hit{{20 * s, 2}, {0, 1}, {11 * s, 2}}, 4, 11 * s},
	} {
		if cost, start := Worst(c.history, 10*s); cost != c.cost || start != c.start {
			t.Errorf("%s: worst is %d at %v, want %d at %v", c.name, cost, start, c.cost, c.start)
		}
	}
}

// Worst slides two fingers; this tries all pairs.
func TestWorstAgreesWithAllPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var history []Hit
		for range rng.IntN(30) {
			history = append(history, Hit{time.Duration(rng.IntN(40)), rng.Int64N(4)})
		}
		window := time.Duration(1 + rng.IntN(20))
		want := int64(0)
		for start := time.Duration(-20); start < 40; start++ {
			sum := int64(0)
			for _, h := range history {
				if h.At >= start && h.At < start+window {
					sum += h.Cost
				}
			}
			want = max(want, sum)
		}
		if got, _ := Worst(history, window); got != want {
			t.Fatalf("worst of %v in %v is %d, all pairs say %d", history, window, got, want)
		}
	}
}
