package storetest_test

import (
	"testing"

	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
	"github.com/wontopos/latchkey/storage/storetest"
)

// The whole test of a store: how to get a fresh one, and what it can do.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestStore(t *testing.T)
		storetest.Run(t, storetest.Harness{
			Open:     func(testing.TB) storage.Store { return memstore.New() },
			Notifies: true,
			Closes:   true,
		})
	}
	// Output:
}
