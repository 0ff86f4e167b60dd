package limiter_test

import (
	"testing"
	"time"

	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/limiter/limitertest"
)

func newEscrow(t testing.TB, shared limiter.Limiter, o limiter.EscrowOptions) *limiter.Escrow {
	t.Helper()
	e, err := limiter.NewEscrow(shared, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// plain hides what a Window can do beyond a Limiter.
type plain struct{ limiter.Limiter }

// escrowed is an Escrow over a Window of its own.
func escrowed(o limiter.EscrowOptions) limitertest.Harness {
	return limitertest.Harness{
		New: func(t testing.TB) limiter.Limiter {
			return newEscrow(t, newWindow(t, limiter.Options{}), o)
		},
		Unused: func(n int64) int64 { return n / int64(8*max(o.Instances, 1)) },
	}
}

func TestEscrow(t *testing.T) {
	for name, o := range map[string]limiter.EscrowOptions{
		"four instances": {Instances: 4},
		"one instance":   {Instances: 1, Block: 100},
		"no blocks":      {Block: 1},
		"strict":         {Strict: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := escrowed(o)
			h.Virtual = true
			limitertest.Run(t, h)
		})
	}
}

// Over a limiter that cannot Reserve windows count a second longer, and the
// segments are those of the longer window.
func TestEscrowOverAnyLimiter(t *testing.T) {
	h := escrowed(limiter.EscrowOptions{Instances: 1})
	h.New = func(t testing.TB) limiter.Limiter {
		return newEscrow(t, plain{newWindow(t, limiter.Options{})}, limiter.EscrowOptions{Instances: 1})
	}
	h.Virtual, h.Unit = true, 10*time.Minute
	h.Grain = time.Second + (h.Unit+time.Second)/60
	limitertest.Run(t, h)
}
