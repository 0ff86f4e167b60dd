package limiter_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/limiter/limitertest"
)

// FuzzEscrow reads two bytes for a step of three instances: what to do, and how
// much of it.
func FuzzEscrow(f *testing.F) {
	f.Add([]byte("0\x100\x200\x301\x012\x803\x404\x00"))
	f.Add([]byte("\x01\x01\x01\x01\x01\x01\x01\x01\x03\x70\x00\x30\x03\xf0\x00\x30\x02\x55\x00\x30"))
	f.Add([]byte("\x04\x03\x00\xff\x05\x01\x00\x40\x06\x02\x00\x40\x05\x00\x03\xff\x07\x01\x00\x40"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) > 400 {
			return
		}
		synctest.Test(t, func(t *testing.T) { fuzzed(t, steps) })
	})
}

func fuzzed(t *testing.T, steps []byte) {
	const instances = 3
	bare := len(steps)%2 == 1
	f := newFleet(t, instances, bare, limiter.EscrowOptions{Block: 1 + len(steps)%40, Logger: quiet})
	f.delay = func() time.Duration { return 0 }
	n, cut := int64(600), false
	var last limiter.Decision
	take := func(i int, cost int64) {
		r := ask("k", apikey.PerMinute(n), perHour(20*n))
		r.Cost = cost
		if d, err := f.take(t, i, r); err == nil {
			last = d
		}
	}
	for ; len(steps) > 1; steps = steps[2:] {
		i, arg := int(steps[0]/16)%instances, time.Duration(steps[1])
		switch steps[0] % 8 {
		case 0: // a burst
			for range arg {
				take(i, 1)
			}
		case 1:
			take(i, int64(arg))
		case 2: // as long as the client is told to wait
			time.Sleep(max(last.RetryAfter, 0) - min(max(last.RetryAfter, 0), arg%2))
		case 3:
			time.Sleep(arg * arg * time.Millisecond)
		case 4:
			n = []int64{60, 300, 600}[arg%3]
		case 5:
			cut = cut || arg%2 == 1
			f.cutOff(i, arg%2 == 1)
		case 6:
			f.delay = func() time.Duration { return arg * 200 * time.Microsecond }
			cut = cut || arg >= 125 // slower than the timeout
		case 7: // evenly spread
			for range arg {
				take(i, 1)
				time.Sleep(7 * time.Millisecond)
			}
		}
	}
	most := apikey.PerMinute(600)
	if cut { // and a share for each that may have been cut off
		most.N *= 2
	}
	if err := limitertest.Check(f.hits["k"], most); err != nil {
		t.Errorf("no interval of the window's length admits more than N: %v", err)
	}
}
