// Package latchotel tells OpenTelemetry what a guard decides and how its service
// is: metrics for operators, and attributes on the span of each request. It uses
// OpenTelemetry's API alone; the program chooses the SDK and the exporter.
//
//	options := middleware.Options{}
//	stop, err := latchotel.Instrument(keys, latchotel.Options{}, &options)
//	…
//	guard, err := middleware.New(keys, options)
//
// # Metrics
//
//	latchkey.authentication.duration  histogram, s            how long each decision took; result, http.route
//	latchkey.rate_limiting.requests   counter, {request}      requests by what each limit said; result, policy, http.route
//	latchkey.requests.cut             counter, {request}      requests whose key ended while they were served; result, http.route
//	latchkey.requests.active          up-down counter, {request}   requests with keys that are being served
//	latchkey.cache.keys               up-down counter, {key}       keys that are cached
//	latchkey.cache.loads              counter, {read}         reads of keys from the store
//	latchkey.ready                    gauge, {instance}       1, or 0 while requests are answered with 503
//	latchkey.store.refusing           gauge, {instance}       1 while the store refuses new keys and counts
//	latchkey.limiter.degraded         gauge, {instance}       1 while a shared limiter does not answer
//
// On a store that several processes share:
//
//	latchkey.revocation.delay         histogram, s            from a change of a key, such as its revocation, until it is in force here
//	latchkey.lease.age                gauge, s                since the newest poll that succeeded
//	latchkey.feed.lag                 gauge, {change}         how far the slowest instance is behind
//	latchkey.feed.push                gauge, {instance}       1 while the store wakes its readers
//	latchkey.instances                gauge, {instance}       that share the store
//
// result is "ok" or the code of a refusal, such as "revoked_key"; of
// latchkey.rate_limiting.requests it is "acquired", "rejected", or "would_reject" of
// a shadow, which refuses nobody. policy is the
// name of the limit as clients see it in RateLimit-Policy, such as "minute" or
// "owner-day": an admitted request counts once for each of its limits, a refused one
// for those that refused it. latchkey.limiter.degraded is there if a limiter has a
// method Degraded() error, as [limiter.Shared] has.
//
// # How many series
//
// No metric has a label that names a key, an owner or a client. The routes are
// those of admitted requests, the first 200 of them, and the policies are the first
// 50; everything else is "_OTHER", so that nobody makes series by asking for paths
// that do not exist. A request whose route is not known has no http.route.
//
// # Spans
//
// The span in the context of a request, such as otelhttp's around the guard, gets
// the attributes latchkey.result, and, if the secret was right, latchkey.key.id and
// latchkey.plan. A request that is cut adds the event latchkey.cut with its cause.
// Middleware that makes spans belongs outside the guard.
package latchotel
