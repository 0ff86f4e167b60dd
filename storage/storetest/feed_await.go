package storetest

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// patience bounds the wait for something that must happen, but at no particular
// time.
const patience = 30 * time.Second

var awaitChecks = []check{
	{name: "Await returns when there is something new, or says that it cannot tell", needs: needsFeed, run: func(e *env) error {
		other := *e
		if e.h.Second != nil {
			other.s = e.h.Second(e.t, e.s)
		}
		f, err := ability[storage.Feed](e)
		if err != nil {
			return err
		}
		r, err := other.create("key", nil)
		if err != nil {
			return err
		}
		for round := range 3 { // the first may be mistaken
			if _, err := e.poll(storage.FeedQuery{}); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(e.ctx, patience)
			done := make(chan error, 1)
			go func() { done <- f.Await(ctx) }()
			for waiting := true; waiting; {
				if r, err = other.apply(r, "update"); err != nil {
					break
				}
				select {
				case err = <-done:
					waiting = false
				case <-time.After(20 * time.Millisecond): // it may be lost: try another
				}
			}
			cancel()
			switch {
			case errors.Is(err, storage.ErrNoPush):
				return nil
			case err != nil:
				return broken("await in round %d while keys are changed: %w", round+1, err)
			}
		}
		return nil
	}},
	{name: "a poll or a wait that was cancelled is an error, and registers nobody", needs: needsFeed, run: func(e *env) error {
		f, err := ability[storage.Feed](e)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(e.ctx)
		cancel()
		_, err = f.Poll(ctx, storage.FeedQuery{Instance: "cancelled", Lease: time.Hour})
		if err := want("poll", err, context.Canceled); err != nil {
			return err
		}
		if err := f.Await(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, storage.ErrNoPush) {
			return broken("await: got error %v, want Canceled", err)
		}
		p, err := e.poll(storage.FeedQuery{})
		if err != nil {
			return err
		}
		return equal("instances alive", p.Alive, 0)
	}},
	{name: "Close ends a wait, and after it the feed is Closed", needs: needs(needsFeed, needsClose), run: func(e *env) error {
		f, err := ability[storage.Feed](e)
		if err != nil {
			return err
		}
		c, err := ability[io.Closer](e)
		if err != nil {
			return err
		}
		_ = f.Await(withTimeout(e, time.Second)) // the first may be mistaken
		if _, err := e.poll(storage.FeedQuery{}); err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() { done <- f.Await(withTimeout(e, patience)) }()
		if err := c.Close(); err != nil {
			return err
		}
		if err := <-done; err != nil && !errors.Is(err, apikey.Closed) && !errors.Is(err, storage.ErrNoPush) {
			return broken("await while the store is closed: got error %v, want Closed", err)
		}
		_, err = f.Poll(e.ctx, storage.FeedQuery{})
		if err := want("poll", err, apikey.Closed); err != nil {
			return err
		}
		return want("await", f.Await(e.ctx), apikey.Closed)
	}},
}

func withTimeout(e *env, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(e.ctx, d)
	e.t.Cleanup(cancel)
	return ctx
}
