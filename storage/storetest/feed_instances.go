package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/storage"
)

var instanceChecks = []check{
	{name: "what is acknowledged is the least that an instance alive has applied", needs: needsFeed, run: func(e *env) error {
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			if _, err := e.create(id, nil); err != nil {
				return err
			}
		}
		for i, step := range []struct {
			instance     string
			acked, least uint64
			alive        int
		}{
			{"", 1, 5, 0}, // no instance: everything up to the head
			{"one", 3, 3, 1},
			{"", 0, 3, 1}, // registers none, whatever it acknowledges
			{"two", 4, 3, 2},
			{"one", 5, 4, 2},
			{"TWO", 2, 2, 3}, // a different instance
			{"TWO", 5, 4, 3},
			{"two", 5, 5, 3},
			{"two", 1, 1, 3}, // an instance that starts over
			{"t%o", 0, 0, 4},
		} {
			p, err := e.poll(storage.FeedQuery{Instance: step.instance, Acked: step.acked, Lease: time.Hour})
			if err != nil {
				return err
			}
			if p.Acked != step.least || p.Alive != step.alive {
				return broken("step %d: instance %q has applied %d; got acknowledged %d by %d alive, want %d by %d",
					i, step.instance, step.acked, p.Acked, p.Alive, step.least, step.alive)
			}
		}
		return nil
	}},
	{name: "what is acknowledged in another epoch counts for nothing", needs: needsFeed, run: func(e *env) error {
		for _, id := range []string{"a", "b"} {
			if _, err := e.create(id, nil); err != nil {
				return err
			}
		}
		if _, err := e.poll(storage.FeedQuery{Instance: "restored", Acked: 2, Epoch: "another history", Lease: time.Hour}); err != nil {
			return err
		}
		p, err := e.poll(storage.FeedQuery{Instance: "one", Acked: 2, Lease: time.Hour})
		if err != nil {
			return err
		}
		return errors.Join(equal("acknowledged", p.Acked, 0), equal("instances alive", p.Alive, 2))
	}},
	{name: "an instance whose lease has run out does not count, until it polls again", needs: needsFeed, run: func(e *env) error {
		for _, id := range []string{"a", "b", "c"} {
			if _, err := e.create(id, nil); err != nil {
				return err
			}
		}
		poll := func(instance string, acked uint64, lease time.Duration) storage.FeedPage {
			p, err := e.poll(storage.FeedQuery{Instance: instance, Acked: acked, Lease: lease})
			if err != nil {
				e.t.Fatal(err)
			}
			return p
		}
		poll("lasting", 2, time.Hour)
		p := poll("brief", 1, 50*time.Millisecond)
		if p.Acked != 1 {
			return broken("the instance that polls counts: got acknowledged %d, want 1", p.Acked)
		}
		for begun := time.Now(); p.Alive > 1; time.Sleep(10 * time.Millisecond) {
			if p = poll("", 0, 0); time.Since(begun) > patience {
				return broken("an instance whose lease of 50ms has run out counts as alive after %v", patience)
			}
		}
		if err := equal("acknowledged by the one that is left", p.Acked, 2); err != nil {
			return err
		}
		p = poll("brief", 1, time.Hour)
		return errors.Join(
			equal("acknowledged, with the instance that polls again", p.Acked, 1),
			equal("instances alive", p.Alive, 2),
		)
	}},
	{name: "an instance that another handle has registered counts", needs: needs(needsFeed, needsSecond), run: func(e *env) error {
		two := *e
		two.s = e.h.Second(e.t, e.s)
		for _, id := range []string{"a", "b", "c"} {
			if _, err := e.create(id, nil); err != nil {
				return err
			}
		}
		if _, err := two.poll(storage.FeedQuery{Instance: "two", Acked: 1, Lease: time.Hour}); err != nil {
			return err
		}
		p, err := e.poll(storage.FeedQuery{Instance: "one", Acked: 3, Lease: time.Hour})
		if err != nil {
			return err
		}
		return errors.Join(equal("acknowledged", p.Acked, 1), equal("instances alive", p.Alive, 2))
	}},
	{name: "nobody who reads an old head is unknown to one who polls after a change", needs: needsFeed, run: func(e *env) error {
		// If an instance were registered after its poll had read the head, a change could come between: the process that made
		// it would find nobody to wait for, and the instance would trust what it has for a lease.
		const rounds, pollers = 20, 8
		before := 0 // instances that were registered in earlier rounds
		for round := range uint64(rounds) {
			type tally struct {
				polls, unaware int
				err            error
			}
			tallies, begun := make(chan tally), make(chan struct{}, pollers)
			for i := range pollers {
				go func() { // polls, each time as a new instance, until it sees the change
					var t tally
					for t.err == nil && t.polls == t.unaware {
						var p storage.FeedPage
						name := fmt.Sprintf("instance-%d-%d-%d", round, i, t.polls)
						p, t.err = e.poll(storage.FeedQuery{Instance: name, Lease: time.Hour})
						if t.polls++; p.Head == round {
							t.unaware++
						}
						if t.polls == 1 {
							begun <- struct{}{}
						}
					}
					tallies <- t
				}()
			}
			for range pollers {
				<-begun
			}
			_, changed := e.create(fmt.Sprint("key-", round), nil)
			after, polled := e.poll(storage.FeedQuery{})
			if changed != nil { // the pollers wait for it
				_, _ = e.create(fmt.Sprint("spare-", round), nil)
			}
			failed, polls, unaware := errors.Join(changed, polled), 0, 0
			for range pollers {
				t := <-tallies
				polls, unaware, failed = polls+t.polls, unaware+t.unaware, errors.Join(failed, t.err)
			}
			if failed != nil {
				return failed
			}
			if after.Alive < before+unaware {
				return broken("%d instances have read the head from before a change, but one who polled after the change found %d of them",
					unaware, after.Alive-before)
			}
			before += polls
		}
		return nil
	}},
}
