package storage_test

import (
	"testing"

	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

func TestAsFindsAnAbilityThroughWrappers(t *testing.T) {
	s := memstore.New()
	if _, ok := storage.As[storage.Notifier](wrapper{wrapper{s}}); !ok {
		t.Error("a Notifier behind two wrappers was not found")
	}
	if _, ok := storage.As[storage.Notifier](silent{s}); ok {
		t.Error("a wrapper without Unwrap does not pass abilities on")
	}
	if _, ok := storage.As[storage.Notifier](nil); ok {
		t.Error("nil has no abilities")
	}
}

type wrapper struct{ storage.Store }

func (w wrapper) Unwrap() storage.Store { return w.Store }

// silent hides that a store is a Notifier.
type silent struct{ storage.Store }
