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

func TestEscrow(t *testing.T) {
	for name, o := range map[string]limiter.EscrowOptions{
		"default":       {},
		"one instance":  {Instances: 1, Block: 100},
		"no reservation": {Block: 1},
		"refuse":        {Degraded: limiter.DegradedRefuse},
	} {
		t.Run(name, func(t *testing.T) {
			limitertest.Run(t, limitertest.Harness{
				New: func(t testing.TB) limiter.Limiter {
					return newEscrow(t, newWindow(t, limiter.Options{}), o)
				},
				Virtual: true,
			})
		})
	}
}

var _ = time.Second
