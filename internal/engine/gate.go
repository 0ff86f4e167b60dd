package engine

import (
	"context"
	"sync"
)

// gate admits operations until it is shut, and signals when the last one has
// left. Entering never waits, so an operation may call another one while a
// Close waits for it.
type gate struct {
	mu    sync.Mutex
	in    int
	shut  bool
	empty chan struct{} // closed when the gate is shut and nobody is in
}

func newGate() *gate { return &gate{empty: make(chan struct{})} }

// enter reports whether the gate was open; if so, the caller must call leave.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.in++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in--; g.shut && g.in == 0 {
		close(g.empty)
	}
}

// close shuts the gate. Closing again does nothing.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		if g.shut = true; g.in == 0 {
			close(g.empty)
		}
	}
}

// Await waits for done. It returns ctx's error if ctx ends first.
func Await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
