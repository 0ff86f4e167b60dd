package middleware

import (
	"context"
	"sync/atomic"
	"time"
)

// requestContext is the context of an admitted request, another view of its
// passage. It carries the principal without a WithValue. It becomes a cancelable
// context of package context only when somebody calls Done, which most handlers
// never do.
//
// From then on the inner context answers every call, so package context
// recognizes it: derived contexts start no goroutine, and context.Cause says
// why the request was cut.
type requestContext passage

type innerContext struct {
	context.Context
	cancel context.CancelCauseFunc
	conn   atomic.Pointer[hijackedConn] // nil until the handler takes it over
}

// guardKey finds the passage of a request that the guard has already admitted.
type guardKey struct{ *Guard }

func (c *requestContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

func (c *requestContext) Done() <-chan struct{} { return c.open().Done() }

func (c *requestContext) Err() error {
	if in := c.inner.Load(); in != nil {
		return in.Err()
	}
	if c.state.Load()&(cut|over) != 0 {
		return c.open().Err()
	}
	return c.parent.Err()
}

func (c *requestContext) Value(key any) any {
	switch key := key.(type) {
	case principalKey:
		return c.flight.Verified().Principal()
	case costKey:
		return (*passage)(c)
	case guardKey:
		if key.Guard == c.door.guard {
			return (*passage)(c)
		}
		key.Guard.decidesAgain((*passage)(c))
	}
	if in := c.inner.Load(); in != nil {
		return in.Value(key) // context's own key finds inner itself
	}
	return c.parent.Value(key)
}

// open makes the inner context if there is none. It publishes it before it reads
// the state, and whoever ends the request sets the state first: at least one of the
// two sees the other. A cut opens it, too: see [passage.cut].
func (c *requestContext) open() *innerContext {
	if in := c.inner.Load(); in != nil {
		return in
	}
	ctx, cancel := context.WithCancelCause(c.parent)
	in := &innerContext{Context: ctx, cancel: cancel}
	if !c.inner.CompareAndSwap(nil, in) {
		cancel(context.Canceled) // another goroutine was quicker
		return c.inner.Load()
	}
	switch s := c.state.Load(); {
	case s&cut != 0:
		cancel(s.cause())
	case s&over != 0:
		cancel(context.Canceled)
	}
	return in
}

// release ends the context with its request, as net/http does with its own.
func (c *requestContext) release() {
	c.state.Or(over)
	if in := c.inner.Load(); in != nil {
		in.cancel(context.Canceled)
	}
}
