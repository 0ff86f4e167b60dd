package limiter_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// A client that sends one request each W/N, or N at once each W, is never
// refused, however long it does; and a nanosecond earlier there is no room.
func TestAClientThatKeepsToAWindowIsNeverRefused(t *testing.T) {
	lengths := []time.Duration{time.Second, time.Minute, 61 * time.Minute, 24 * time.Hour, apikey.MaxLimitWindow}
	many := longer(40, 1000) // windows
	step := longer(9, 1)
	for _, length := range lengths {
		t.Run(length.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for n := int64(1); n <= 128; n++ {
					if n > 3 && n < 126 && n != 60 && n%int64(step) != 0 {
						continue
					}
					for _, burst := range []bool{false, true} {
						w := newWindow(t, limiter.Options{})
						r := ask("k", apikey.Limit{Name: "paced", N: n, Window: length})
						gone := time.Duration(0)
						for i := range n * int64(many) {
							due := time.Duration(i/n*int64(length) + (i%n*int64(length)+n-1)/n)
							if burst {
								due = time.Duration(i/n) * length
							}
							if i >= n && due > gone {
								w.Step(due - gone - 1)
								if d, err := w.Peek(t.Context(), r); err != nil || d.Allowed || d.RetryAfter != 1 {
									t.Fatalf("N = %d, request %d: a nanosecond early it is %+v, %v", n, i, d, err)
								}
								gone = due - 1
							}
							w.Step(due - gone)
							gone = due
							if d := mustTake(t, w, r); !d.Allowed {
								t.Fatalf("N = %d, burst %t: request %d, at %v, was refused: %+v", n, burst, i, due, d)
							}
						}
					}
				}
			})
		})
	}
}

// The smallest limits that are sold.
func TestOneADaySentOnceADayIsNeverRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(t, limiter.Options{})
		r := ask("k", apikey.PerMinute(1), apikey.PerDay(1), apikey.Limit{Name: "daily", N: 1, Period: apikey.Daily})
		for i := range 2000 {
			if d := mustTake(t, w, r); !d.Allowed {
				t.Fatalf("day %d: %+v", i, d)
			}
			time.Sleep(24 * time.Hour)
		}
	})
}
