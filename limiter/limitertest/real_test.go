package limitertest

import (
	"testing"
	"time"
)

// In real time the rules must allow for calls that take time.
func TestLogInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 8 seconds")
	}
	h := manyProcesses(2 * time.Second)
	h.Virtual, h.Unit, h.SlotLife = false, 2*time.Second, 2*time.Second
	Run(t, h)
}
