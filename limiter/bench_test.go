package limiter_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/slot"
	"github.com/wontopos/latchkey/limiter"
)

// The two windows of the free plan, with room that a benchmark cannot use up.
func benchLimits(room int64) []apikey.Limit {
	return []apikey.Limit{apikey.PerMinute(60 * room), apikey.PerDay(1000 * room)}
}

func BenchmarkTake(b *testing.B) {
	for _, c := range []struct {
		name string
		keys int
		room int64
	}{
		{"1key", 1, 1_000_000},
		{"10kkeys", 10_000, 1_000_000},
		{"refused", 1, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			w, err := limiter.New(limiter.Options{})
			if err != nil {
				b.Fatal(err)
			}
			var l limiter.Limiter = w
			subjects := make([]string, c.keys)
			r := limiter.Request{Demands: []limiter.Demand{{Limits: benchLimits(c.room)}}}
			for i := range subjects {
				subjects[i] = "k:" + strconv.Itoa(i)
			}
			ctx := b.Context()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				r.Demands[0].Subject = subjects[i]
				if i++; i == len(subjects) {
					i = 0
				}
				if _, err := l.Take(ctx, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTakeParallel(b *testing.B) {
	w, err := limiter.New(limiter.Options{})
	if err != nil {
		b.Fatal(err)
	}
	limits := benchLimits(1_000_000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := limiter.Request{Demands: []limiter.Demand{{Limits: limits}}}
		for i := 0; pb.Next(); i++ {
			r.Demands[0].Subject = subjectNames[i%len(subjectNames)]
			if _, err := w.Take(b.Context(), r); err != nil {
				b.Error(err)
			}
		}
	})
}

// subjectNames are the keys of the parallel benchmark.
var subjectNames = func() (names [64]string) {
	for i := range names {
		names[i] = "k:" + strconv.Itoa(i)
	}
	return names
}()

func BenchmarkDecide(b *testing.B) {
	w, err := limiter.New(limiter.Options{})
	if err != nil {
		b.Fatal(err)
	}
	limits := benchLimits(1_000_000)
	ctx := b.Context()
	for _, name := range []string{"1key", "slot"} {
		b.Run(name, func(b *testing.B) {
			r := limiter.Request{Demands: []limiter.Demand{{Subject: "0123456789abcdef", Limits: limits}}}
			var first *slot.Slot
			if name == "slot" {
				first = new(slot.Slot)
			}
			var d limiter.Decision
			for b.Loop() {
				if err := w.Decide(ctx, &r, first, &d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a Shared adds to a shared limiter that answers at once, and a refusal that
// it remembers.
func BenchmarkShared(b *testing.B) {
	for _, c := range []struct {
		name string
		n    int64
		o    limiter.SharedOptions
	}{
		{"asked", 1_000_000_000, limiter.SharedOptions{Instances: 1}},
		{"asked, strict", 1_000_000_000, limiter.SharedOptions{Strict: true}},
		{"remembered", 1, limiter.SharedOptions{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			w, err := limiter.New(limiter.Options{})
			if err != nil {
				b.Fatal(err)
			}
			s, err := limiter.NewShared(w, c.o)
			if err != nil {
				b.Fatal(err)
			}
			r := limiter.Request{Demands: []limiter.Demand{{Subject: "0123456789abcdef", Limits: []apikey.Limit{
				{Name: "hour", N: c.n, Window: time.Hour}, apikey.PerDay(1_000_000_000),
			}}}}
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Take(ctx, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
