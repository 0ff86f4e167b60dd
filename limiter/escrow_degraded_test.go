package limiter_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/limiter"
)

// TestEscrowTellsThatItIsDegraded: from the first failure of the shared limiter to the first answer after it.
func TestEscrowTellsThatItIsDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 4, false, limiter.EscrowOptions{Logger: quiet})
		e := f.all[0]
		mustTake(t, e, ask("k", minute))
		if err := e.Degraded(); err != nil {
			t.Errorf("while the shared limiter answers: %v", err)
		}
		f.down.Store(true)
		mustTake(t, e, ask("other", minute))
		if err := e.Degraded(); !errors.Is(err, errDown) {
			t.Errorf("while it does not: %v", err)
		}
		f.down.Store(false)
		if err := e.Degraded(); !errors.Is(err, errDown) {
			t.Errorf("before it was asked again: %v", err)
		}
		time.Sleep(time.Minute)
		mustTake(t, e, ask("third", minute))
		if err := e.Degraded(); err != nil {
			t.Errorf("once it answers again: %v", err)
		}
	})
}
