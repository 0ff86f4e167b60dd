package latchotel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/middleware"
)

// degrader is a limiter that can tell that it decides without what it shares.
type degrader interface{ Degraded() error }

func limitersOf(guards []*middleware.Options) (all []degrader) {
	for _, g := range guards {
		if d, ok := g.Limiter.(degrader); ok {
			all = append(all, d)
		}
	}
	return all
}

// delays are the boundaries of the delay of revocations: milliseconds where the
// store pushes, a second where it is polled, the lease where an instance is cut off.
var delays = []float64{1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10}

// watch makes the instruments that ask the service.
func watch(keys *latchkey.Service, meter metric.Meter, limiters []degrader) (stop func() error, err error) {
	var errs []error
	made := func(err error) { errs = append(errs, err) }
	gauge := func(name, unit, what string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(what))
		made(err)
		return g
	}
	sum := func(name, unit, what string) metric.Int64ObservableUpDownCounter {
		c, err := meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(what))
		made(err)
		return c
	}
	active := sum("latchkey.requests.active", "{request}", "Requests with keys that are being served.")
	cached := sum("latchkey.cache.keys", "{key}", "Keys that are cached.")
	loads, err := meter.Int64ObservableCounter("latchkey.cache.loads", metric.WithUnit("{read}"), metric.WithDescription("Reads of keys from the store."))
	made(err)
	ready := gauge("latchkey.ready", "{instance}", "1, or 0 while requests are answered with 503.")
	refusing := gauge("latchkey.store.refusing", "{instance}", "1 while the store refuses new keys and counts.")
	degraded := gauge("latchkey.limiter.degraded", "{instance}", "1 while a shared limiter does not answer.")
	lag := gauge("latchkey.feed.lag", "{change}", "How many changes the slowest instance is behind.")
	push := gauge("latchkey.feed.push", "{instance}", "1 while the store wakes its readers.")
	instances := gauge("latchkey.instances", "{instance}", "Instances that share the store.")
	age, err := meter.Float64ObservableGauge("latchkey.lease.age", metric.WithUnit("s"), metric.WithDescription("Since the newest poll of the store that succeeded."))
	made(err)
	delay, err := meter.Float64Histogram("latchkey.revocation.delay", metric.WithUnit("s"),
		metric.WithDescription("From a change of a key, such as its revocation, until it is in force in this instance."), metric.WithExplicitBucketBoundaries(delays...))
	made(err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	registered, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		h := keys.Health()
		o.ObserveInt64(active, int64(keys.InFlight()))
		o.ObserveInt64(cached, int64(h.Keys))
		o.ObserveInt64(loads, int64(h.Loads))
		o.ObserveInt64(ready, one(h.Ready))
		o.ObserveInt64(refusing, one(h.Refusing != ""))
		if len(limiters) > 0 {
			var err error
			for _, l := range limiters {
				err = errors.Join(err, l.Degraded())
			}
			o.ObserveInt64(degraded, one(err != nil))
		}
		if h.Instances > 0 { // a shared store that has answered
			o.ObserveFloat64(age, h.LeaseAge.Seconds())
			o.ObserveInt64(lag, int64(h.Position-min(h.Acked, h.Position)))
			o.ObserveInt64(push, one(h.Push))
			o.ObserveInt64(instances, int64(h.Instances))
		}
		return nil
	}, active, cached, loads, ready, refusing, degraded, age, lag, push, instances)
	if err != nil {
		return nil, err
	}
	unobserve := keys.ObserveDelay(func(d time.Duration) { delay.Record(context.Background(), d.Seconds()) })
	return func() error {
		unobserve()
		return registered.Unregister()
	}, nil
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}
