package limiter

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wontopos/latchkey/apikey"
)

// oracle is the segment rule in its plainest form: a list of hits, each with
// the instant when it stops counting.
type oracle struct {
	limit apikey.Limit
	hits  []oracleHit
}

type oracleHit struct{ leaves, cost int64 }

// segment of the window, from the contract and not from the ring.
func (o *oracle) segment() (s, k int64) {
	k = 60
	if o.limit.Window > time.Hour {
		k = 144
	}
	s = int64(o.limit.Window) / k
	if s*k < int64(o.limit.Window) {
		s++
	}
	return s, k
}

func (o *oracle) counted(now int64) (n int64) {
	for _, h := range o.hits {
		if h.leaves > now {
			n += h.cost
		}
	}
	return n
}

func (o *oracle) record(now, cost int64) {
	s, k := o.segment()
	o.hits = append(o.hits, oracleHit{(now/s + k + 1) * s, cost})
}

// reset is when the first counted hit leaves.
func (o *oracle) reset(now int64) (d time.Duration) {
	for _, h := range o.hits {
		if left := time.Duration(h.leaves - now); left > 0 && (d == 0 || left < d) {
			d = left
		}
	}
	return d
}

// retry tries all instants when something leaves.
func (o *oracle) retry(now, cost int64) time.Duration {
	if o.counted(now)+cost <= o.limit.N {
		return 0
	}
	if cost > o.limit.N {
		return Never
	}
	at := make([]int64, 0, len(o.hits))
	for _, h := range o.hits {
		if h.leaves > now {
			at = append(at, h.leaves)
		}
	}
	slices.Sort(at)
	for _, t := range at {
		if o.counted(t)+cost <= o.limit.N {
			return time.Duration(t - now)
		}
	}
	panic("unreachable: at the end nothing is counted")
}

// Every decision of a bucket is compared with the oracle's, field by field,
// over random limits, costs and instants, segment edges among them.
func TestBucketDecidesAsAListOfHitsWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		windows := rapid.SliceOfNDistinct(rapid.SampledFrom([]int64{1, 7, 60, 61, 3600, 3601, 86400}), 1, 3, rapid.ID).Draw(t, "windows")
		var limits []apikey.Limit
		var model []*oracle
		for _, s := range windows {
			l := apikey.Limit{N: rapid.SampledFrom([]int64{1, 3, 10, 255, 256, 65535, 65536}).Draw(t, "N"), Window: time.Duration(s) * time.Second}
			limits = append(limits, l)
			model = append(model, &oracle{limit: l})
		}
		now := int64(1_700_000_000)*int64(time.Second) + rapid.Int64Range(0, int64(time.Minute)).Draw(t, "start")
		b := newBucket("k", false)
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = draw(t, now, model)
			if rapid.IntRange(0, 9).Draw(t, "change") == 0 { // another N for a window
				i := rapid.IntRange(0, len(limits)-1).Draw(t, "which")
				limits[i].N = rapid.SampledFrom([]int64{1, 3, 10, 255, 256, 65535, 65536}).Draw(t, "N")
				model[i].limit = limits[i]
			}
			cost := rapid.OneOf(rapid.Just(int64(1)), rapid.Int64Range(1, 300)).Draw(t, "cost")
			if !b.fits(limits) {
				b.adopt(limits, now)
			}
			st := make([]Status, len(limits))
			got := b.check(cost, now, st)
			var want time.Duration
			for i, m := range model {
				retry := m.retry(now, cost)
				want = later(want, retry)
				if st[i].Violated != (retry != 0) {
					t.Fatalf("window %v, cost %d, %d of %d counted: Violated is %t", m.limit.Window, cost, m.counted(now), m.limit.N, st[i].Violated)
				}
			}
			if got != want {
				t.Fatalf("RetryAfter is %v, the list of hits says %v", got, want)
			}
			if got == 0 {
				b.charge(cost, len(limits))
				for _, m := range model {
					m.record(now, cost)
				}
			}
			b.report(now, st)
			for i, m := range model {
				if left := max(m.limit.N-m.counted(now), 0); st[i].Remaining != left || st[i].Reset != m.reset(now) {
					t.Fatalf("window %v: Remaining %d and Reset %v, the list of hits says %d and %v", m.limit.Window, st[i].Remaining, st[i].Reset, left, m.reset(now))
				}
			}
		}
	})
}

// draw returns the next instant: any, or an edge of a segment or an expiry, or a
// nanosecond from one.
func draw(t *rapid.T, now int64, model []*oracle) int64 {
	m := rapid.SampledFrom(model).Draw(t, "window")
	s, k := m.segment()
	switch rapid.IntRange(0, 4).Draw(t, "how") {
	case 0:
		return now
	case 1:
		return now + rapid.Int64Range(0, 2*s).Draw(t, "some segments")
	case 2:
		return now + rapid.Int64Range(0, 3*k*s).Draw(t, "some windows")
	case 3:
		edge := (now/s + rapid.Int64Range(1, k+2).Draw(t, "edge")) * s
		return max(now, edge+rapid.Int64Range(-1, 1).Draw(t, "beside"))
	default:
		return max(now, now+int64(m.reset(now))-rapid.Int64Range(0, 1).Draw(t, "before"))
	}
}

// With a clock that jumps both ways there is one thing to hold on to: what was
// admitted counts until the clock has passed, by a window, all that it showed.
func TestClockInBothDirectionsNeverAdmitsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 10
		limits := []apikey.Limit{{N: n, Window: time.Minute}}
		b := newBucket("k", false)
		now, top := int64(1e18), int64(0)
		var admitted []oracleHit // leaves: by the highest instant seen, at which it counts at the least
		for range 100 {
			now += rapid.Int64Range(-int64(2*time.Minute), int64(time.Minute)).Draw(t, "step")
			top = max(top, now)
			if !b.fits(limits) {
				b.adopt(limits, now)
			}
			if b.check(1, now, make([]Status, 1)) != 0 {
				continue
			}
			b.charge(1, 1)
			admitted = append(admitted, oracleHit{top + int64(time.Minute), 1})
			counted := 0
			for _, h := range admitted {
				if h.leaves > top {
					counted++
				}
			}
			if counted > n {
				t.Fatalf("%d hits are admitted though the clock has never passed the first by its window", counted)
			}
		}
	})
}

// The seed of a new window is never below what an old window proves.
func TestNewWindowStartsNoEmptierThanWhatIsKnown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lengths := []int64{1, 60, 90, 3600, 86400}
		old := apikey.Limit{N: 1000, Window: time.Duration(rapid.SampledFrom(lengths).Draw(t, "old")) * time.Second}
		fresh := apikey.Limit{N: 100_000, Window: time.Duration(rapid.SampledFrom(lengths).Draw(t, "new")) * time.Second}
		start := int64(1e18)
		now := start
		b := newBucket("k", false)
		b.adopt([]apikey.Limit{old}, now)
		var hits []oracleHit // leaves: the end of exactly one new window
		for range rapid.IntRange(1, 30).Draw(t, "hits") {
			now += rapid.Int64Range(0, int64(old.Window)/8).Draw(t, "wait")
			cost := rapid.Int64Range(1, 300).Draw(t, "cost")
			if b.check(cost, now, make([]Status, 1)) == 0 {
				b.charge(cost, 1)
				hits = append(hits, oracleHit{now, cost})
			}
		}
		b.adopt([]apikey.Limit{fresh}, now)
		known := int64(0)
		for _, h := range hits {
			if window := min(old.Window, fresh.Window); h.leaves+int64(window) > now {
				known += h.cost
			}
		}
		if got := int64(b.ring(0).total); got < known {
			t.Fatalf("a window of %v seeded from one of %v counts %d, %d are known", fresh.Window, old.Window, got, known)
		}
		k, segment := b.ring(0).shape() // k segments are up to k nanoseconds longer than the window
		if now += int64(k+1) * segment; b.check(1, now, make([]Status, 1)) != 0 || b.ring(0).total != 0 {
			t.Fatalf("a seeded window is empty after its own length and a segment: %d counted", b.ring(0).total)
		}
	})
}
