package limiter

import (
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

func TestEscrowDepositsEndWithTheFirst(t *testing.T) {
	for _, until := range [][2]int64{{100, 50}, {50, 100}} {
		a := newAccount("k")
		a.adopt([]apikey.Limit{{N: 10, Window: time.Minute}})
		a.refused = refusal{cost: 1, until: forever}
		a.deposit(2, until[0], 1, 0)
		a.deposit(3, until[1], 1, 0)
		if a.left != 5 || a.until != 50 || a.refused.cost != 0 {
			t.Errorf("what is deposited ends with the first, and ends refusals: %d until %d", a.left, a.until)
		}
		if a.expire(49); a.left != 5 {
			t.Errorf("%d are left a moment before the end, want 5", a.left)
		}
		a.expire(50)
		if got := a.losses[0].within(time.Minute, 50); a.left != 0 || got != 5 {
			t.Errorf("at the end %d are left and %d lost, want 5 lost", a.left, got)
		}
	}
}

// What was lost counts for as long as the shared limiter may count it.
func TestEscrowLossesCountLongEnough(t *testing.T) {
	for at := range 200 * time.Second / 700 / time.Millisecond {
		var l loss
		l.roll(time.Minute, 0)
		now := int64(at * 700 * time.Millisecond)
		l.roll(time.Minute, now)
		l.now += 3
		now += int64(time.Minute + 2*time.Second) // and a segment, and what it was widened by
		if got := l.within(time.Minute, now); got != 3 {
			t.Fatalf("%v: 3 that were lost are %d after a window and a segment", at, got)
		}
		if got := l.within(time.Minute, now+2*counted(time.Minute)); got != 0 {
			t.Fatalf("%v: %d are lost for ever", at, got)
		}
	}
}
