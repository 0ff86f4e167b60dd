package storage_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/wontopos/latchkey/storage"
)

func TestHubTellsSubscribersInOrderUntilTheyCancel(t *testing.T) {
	var (
		hub  storage.Hub // the zero value is ready
		said []string
	)
	hub.Publish(storage.Notice{ID: "nobody hears"})
	say := func(who string) func(storage.Notice) {
		return func(n storage.Notice) { said = append(said, who+n.ID) }
	}
	cancelA := hub.Subscribe(say("a"))
	cancelB := hub.Subscribe(say("b"))
	hub.Publish(storage.Notice{ID: "1"})
	cancelA()
	cancelA() // takes nobody else away
	hub.Publish(storage.Notice{ID: "2"})
	cancelB()
	hub.Publish(storage.Notice{ID: "3"})
	if want := []string{"a1", "b1", "b2"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}

func TestHubHoldsNoLockWhileItTells(t *testing.T) {
	var hub storage.Hub
	heard := 0
	var cancel func()
	cancel = hub.Subscribe(func(n storage.Notice) {
		cancel()
		hub.Subscribe(func(storage.Notice) { heard++ })
		if n.Revision < 3 {
			hub.Publish(storage.Notice{Revision: n.Revision + 1})
		}
	})
	hub.Publish(storage.Notice{Revision: 1}) // a lock would hang here
	if heard != 1 {
		t.Errorf("the subscriber that came meanwhile heard %d notices, want 1", heard)
	}
}

func TestHubIsSafeForConcurrentUse(t *testing.T) {
	var (
		hub storage.Hub
		wg  sync.WaitGroup
	)
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				cancel := hub.Subscribe(func(n storage.Notice) {
					if n.ID == "" {
						t.Error("a notice is whole")
					}
				})
				hub.Publish(storage.Notice{ID: "k", Revision: uint64(i)})
				cancel()
			}
		})
	}
	wg.Wait()
}
