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
	feed, left, push, ready := s.engine.Health()
	return Health{
		Ready: ready, LeaseLeft: left, Position: feed.Position, Acked: feed.Acked, Instances: feed.Instances,
		Push: push, Error: feed.Error, Refusing: refusing,
	}
}
