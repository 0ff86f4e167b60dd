package badgerstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/storage/badgerstore"
)

// TestCompactionsTakeTurnsAndRest: what Badger does in several goroutines leaves the processors to requests for three
// quarters of the time.
func TestCompactionsTakeTurnsAndRest(t *testing.T) {
	t.Parallel()
	s, err := badgerstore.Open(t.TempDir(), badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() { s.BeforeTable(20 * time.Millisecond) })
	}
	group.Wait()
	if rested := time.Since(begun); rested < 2*3*20*time.Millisecond {
		t.Errorf("two goroutines that worked for 20 ms each rested for %v", rested)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
