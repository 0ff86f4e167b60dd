package storage

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Hub implements [Notifier] for a store whose writers are all in this
// process: embed it for Subscribe, and call Publish after a commit. The zero
// value is ready to use. All methods may be called concurrently, also from
// within a subscriber.
type Hub struct {
	mu   sync.Mutex // for changes of the list
	list atomic.Pointer[[]*subscriber]
}

type subscriber struct{ f func(Notice) }

// Subscribe calls f with every notice that is published from now on, until
// cancel is called; calling it again does nothing. A Publish that runs in
// another goroutine while cancel is called may still call f once more.
func (h *Hub) Subscribe(f func(Notice)) (cancel func()) {
	s := &subscriber{f}
	h.change(func(list []*subscriber) []*subscriber { return append(list, s) })
	return func() {
		h.change(func(list []*subscriber) []*subscriber {
			return slices.DeleteFunc(list, func(o *subscriber) bool { return o == s })
		})
	}
}

// change replaces the list with a changed copy: Publish reads the list without
// a lock and never sees it change.
func (h *Hub) change(f func([]*subscriber) []*subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := f(slices.Clone(h.load()))
	h.list.Store(&list)
}

func (h *Hub) load() []*subscriber {
	if p := h.list.Load(); p != nil {
		return *p
	}
	return nil
}

// Publish calls every subscriber with n, one after the other, and returns when
// all have returned. It holds no lock meanwhile.
func (h *Hub) Publish(n Notice) {
	for _, s := range h.load() {
		s.f(n)
	}
}
