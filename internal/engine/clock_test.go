package engine

import (
	"testing"
	"time"
)

// The lease ends by whichever clock says so first: the monotonic one stands
// still while a machine sleeps, and the wall clock may be set.
func TestBothClocksHaveToAgree(t *testing.T) {
	at := time.Now()
	mono, wall := int64(at.Sub(processStart)), at.UnixNano()
	l := new(lease)
	for _, c := range []struct {
		name string
		end  leaseEnd
		want bool
	}{
		{"both go on", leaseEnd{mono + 1, wall + 1}, true},
		{"the monotonic clock says no", leaseEnd{mono, wall + int64(time.Hour)}, false},
		{"the wall clock says no", leaseEnd{mono + int64(time.Hour), wall}, false},
	} {
		l.until.Store(&c.end)
		if got := l.holds(at); got != c.want {
			t.Errorf("%s: the lease holds: %v, want %v", c.name, got, c.want)
		}
	}
}
