package latchkey

import (
	"time"
)

// Health is what [Service.Health] reports: whether this process can vouch for
// its answers.
type Health struct {
	// Ready is false when the lease has ended: requests are answered with 503
	// until the store can be asked again. It is always true on a store that only
	// this process uses.
	Ready bool
	// LeaseLeft is how long the cache is still trusted; zero or less when it
	// is not. Zero on a store without a [storage.Feed].
	LeaseLeft time.Duration
	// LeaseAge is how long ago the newest poll was sent that succeeded: the cache
	// is as old as that. Zero on a store without a [storage.Feed].
	LeaseAge time.Duration
	// Position is how far this process has applied the feed, and Acked how far
	// every live process has: the difference is the lag of the slowest.
	Position, Acked uint64
	// Instances is how many processes share the store, this one included.
	Instances int
	// Push says that the store wakes its readers. If not, changes are found only
	// by polling, within [LeaseOptions.Every].
	Push bool
	// Error is why the last poll failed; empty if it did not.
	Error string
	// Refusing is why the store accepts no new keys and no counts, and what to do:
	// its disk is full, for example. Keys are still verified, so Ready does not
	// change. It is empty if all is well, and on a store that does not report
	// this. A store reports it with a method Refusing() error, as badgerstore and
	// pgstore do.
	Refusing string

	// Keys is how many keys are cached, and Loads how often a key was read from the
	// store since the start.
	Keys  int
	Loads uint64
}

// refuser is a store that reports why it refuses changes, if it does.
type refuser interface{ Refusing() error }

// Health reports whether the service is ready. It does no I/O.
func (s *Service) Health() Health {
	refusing := ""
	if s.refuser != nil {
		if err := s.store.Safely(s.refuser.Refusing); err != nil {
			refusing = err.Error()
		}
	}
	h := s.engine.Health()
	return Health{
		Ready: h.Ready, LeaseLeft: h.Left, LeaseAge: h.Age, Position: h.Position, Acked: h.Acked, Instances: h.Instances,
		Push: h.Push, Error: h.Error, Refusing: refusing, Keys: h.Cached, Loads: h.Loads,
	}
}

// InFlight counts the requests with keys that are being served. It looks at each
// cached key, which takes some 20 ms for 100,000: ask for a figure, not for a
// decision.
func (s *Service) InFlight() int { return s.engine.AllInFlight() }

// ObserveDelay calls observe with how long each change of a key, made by any
// process that shares the store, took to be in force in this one: from when it
// was made, by the store's clock, until this process admits no request by the
// older state and has cut the requests in flight that the change forbids. The
// way of the store's answer is included, so the delay is never understated. No
// clock of another machine is compared with this one's. observe is called by the
// goroutine that follows the store: it must be quick. stop ends it, except for a
// call that has begun.
//
// On a store that only this process uses, and on one that does not know the age
// of changes ([storage.FeedChange]), there is nothing to observe: on the former, a
// change is in force when it returns.
func (s *Service) ObserveDelay(observe func(time.Duration)) (stop func()) {
	return s.engine.ObserveDelay(observe)
}
