package badgerstore

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// A write that may make Badger go on to its next log has no other beside it: Badger ends the process if it cannot open that
// log, and another write comes.
func TestAWriteThatMayTurnTheLogIsAlone(t *testing.T) {
	t.Parallel()
	r := openIn(t, t.TempDir()).reserve
	var calls sync.WaitGroup
	var turned atomic.Bool
	err := r.write(1, true, func() error {
		calls.Go(func() {
			if err := r.write(r.size, true, func() error { turned.Store(true); return nil }); err != nil {
				t.Error(err)
			}
		})
		for !turned.Load() && r.writing.TryRLock() { // until the other one waits
			r.writing.RUnlock()
		}
		if turned.Load() {
			t.Error("a write that may turn the log ran beside another")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	calls.Wait()
}

// A log that Badger creates itself has no blocks on the disk.
func TestASpareLogThatWasTakenAwayIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := openIn(t, t.TempDir()).reserve
	if r.plain {
		t.Skip("this file system cannot reserve space")
	}
	name := nextLog(r.current)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	err := r.write(r.size, true, func() error { return nil })
	if err == nil {
		err = r.write(1, true, func() error { return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
}
