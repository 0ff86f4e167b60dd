package latchkey

import (
	"crypto/rand"
	"time"

	"github.com/wontopos/latchkey/internal/faults"
)

// LeaseOptions say how processes that share a store keep up with each other.
// They apply to a store that is a [storage.Feed]. The zero value is ready to use.
type LeaseOptions struct {
	// Instance names this process among those that share the store; default a
	// random name. No two processes may have the same name.
	Instance string
	// Length is how long the cache is trusted after the last good poll was sent;
	// default three seconds. It bounds how long a process that is cut off accepts
	// a key that was revoked elsewhere, and how long Revoke waits for such a
	// process. Use the same value in all processes.
	Length time.Duration
	// Every is the time between polls; default a third of Length, with some
	// jitter. A store that can push is polled at once when there is news.
	Every time.Duration
	// StaleIfError is how much longer the cache is trusted while polls fail. It is
	// added to the bound. Default zero: 503 when the lease ends.
	StaleIfError time.Duration
	// InflightGrace is how long requests in flight may continue after the end of
	// the lease. They are then cut, because the state of their keys is unknown;
	// default ten seconds, negative for ever.
	InflightGrace time.Duration
	// Async makes changes return when they are written, not when every live
	// process has them. The bound is then the lease.
	Async bool
}

func (o *LeaseOptions) prepare() error {
	for _, f := range []struct {
		name string
		d    time.Duration
	}{{"Length", o.Length}, {"Every", o.Every}, {"StaleIfError", o.StaleIfError}} {
		if f.d < 0 {
			return faults.Invalid("Options.Lease."+f.name, "%v is negative", f.d)
		}
	}
	defaultTo(&o.Length, 3*time.Second)
	defaultTo(&o.Every, o.Length/3)
	defaultTo(&o.InflightGrace, 10*time.Second)
	if o.Every >= o.Length {
		return faults.Invalid("Options.Lease.Every", "%v is not shorter than the lease of %v: it would end between two polls", o.Every, o.Length)
	}
	if o.Instance == "" {
		o.Instance = rand.Text()
	}
	return validText("Options.Lease.Instance", o.Instance, 128)
}
