package engine

import (
	"testing"
)

// emptySnapshot is one that has nothing but its place.
func emptySnapshot() *snapshot {
	e := new(entry)
	s := &snapshot{current: &e.own}
	e.own.snap = s
	s.belong(e)
	return s
}

// A record that was read is known before the change that made it is announced: it stays known when its entry leaves the
// cache.
func TestAnIDWhoseRecordWasReadIsNotRememberedAsUnknown(t *testing.T) {
	c := newCache(1, 0)
	id := keyID([]byte("0123456789abcdef"))
	for _, snap := range []*snapshot{nil, emptySnapshot()} {
		_, l, left := c.begin(id, nil, 0, nil)
		if l == nil || l != left {
			t.Fatal("the load is not the caller's")
		}
		c.finish(l, snap, nil)
		if c.isAbsent(id.String()) != (snap == nil) {
			t.Errorf("record read: %t, remembered as unknown: %t", snap != nil, snap == nil)
		}
	}
}
