package limitertest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// Hit is an arrival or an admission: when, on any clock, and at what cost.
type Hit struct {
	At   time.Duration
	Cost int64
}

// Check reports whether the admitted hits keep the limit: in every half-open
// interval of the window's length their total cost is at most N. The error
// describes the worst interval. The history may be in any order.
func Check(history []Hit, limit apikey.Limit) error {
	cost, start := Worst(history, limit.Window)
	if cost <= limit.N {
		return nil
	}
	return fmt.Errorf("limit %q admits at most %d in any %v, but %d were admitted in [%v, %v)",
		limit.Name, limit.N, limit.Window, cost, start, start+limit.Window)
}

// Worst returns the highest cost in any half-open interval of the window's
// length, and where one with that cost starts. Only intervals that start at a
// hit matter: moving any other to its first hit loses nothing.
func Worst(history []Hit, window time.Duration) (cost int64, start time.Duration) {
	h := slices.SortedFunc(slices.Values(history), func(a, b Hit) int { return cmp.Compare(a.At, b.At) })
	var sum int64
	end := 0
	for i := range h {
		for end < len(h) && h[end].At < h[i].At+window {
			sum += h[end].Cost
			end++
		}
		if sum > cost {
			cost, start = sum, h[i].At
		}
		sum -= h[i].Cost
	}
	return cost, start
}
