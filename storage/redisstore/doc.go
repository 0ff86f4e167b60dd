// Package redisstore has a [limiter.Limiter] on Redis (6.2 or later) or Valkey,
// so that any number of processes enforce the same limits. It is for limits
// alone: keys stay in PostgreSQL or Badger.
//
//	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"localhost:6379"}})
//	…
//	limits, err := rueidisstore.NewLimiter(client, redisstore.LimiterOptions{})
//	…
//	defer client.Close()
//	defer limits.Close(context.Background())
//
// Package goredisstore does the same for a program that has a client of go-redis.
//
// What it promises:
//
//   - A decision is one round trip: one script, which reads the clock of the
//     server, decides all limits of all subjects, and writes them, or nothing.
//     Settling is another.
//   - All kinds of limits decide as they do in memory, to the microsecond.
//   - The answer carries the number of its question. If a proxy or a client mixes
//     up replies, the request ends with [limiter.ErrUnavailable], and never with
//     another subject's decision. The same goes for a key with something else in
//     it, and for a server that does not answer in time.
//   - Nothing is retried. A job that is tried again can be charged once:
//     [Limiter.TakeOnce].
//   - What no longer counts expires. A key that was used once takes about 140
//     bytes; with 60 a minute and 1,000 a day, all used, about 850.
//
// # What may be forgotten
//
// Redis answers before a change is safe. What it forgets, limits admit again:
//
//	                    windows and quotas           requests in progress
//	restart or crash    what was charged since the   nothing for long: each process
//	                    last sync: all without       counts its own again within a
//	                    appendonly, a second or two  third of limiter.SlotLife
//	                    with appendfsync everysec,
//	                    nothing with always
//	failover            what had not reached the     likewise
//	                    replica: usually some
//	                    milliseconds
//
// After that, limits are exact again; nothing is let through in the meantime.
// Credits ([apikey.Ever]) are not forgotten with time, so they are an error
// unless LimiterOptions.Credits says that the server keeps what it has answered.
//
// Set maxmemory-policy to noeviction: any other makes the server forget counts
// when memory is short, and with it requests are answered with
// [limiter.ErrUnavailable] instead.
//
// # Requests in progress
//
// A process renews its slots every third of [limiter.SlotLife]. The slots of one
// that has died are free when their life is over. One that is stopped or cut off
// for longer than that loses them too, although its requests may go on. So each
// such process adds up to N to what is in progress, until those requests end. As
// soon as it reaches the server again it counts them, and nothing is admitted
// above N.
//
// # Clusters
//
// A script runs on one server, so on a cluster all subjects of a request must
// share a hash tag. That of a subject is the part between its first { and the
// next }, as in {acme}key and {acme}owner, or all of it. A request that names
// subjects with different tags is refused there with [limiter.ErrInvalid]. So
// what is shared across owners cannot be part of a request with one of an owner.
//
// # Rights
//
// The limiter uses EVALSHA, EVAL, GET, MGET, SET and TIME, on keys that begin
// with LimiterOptions.Prefix and are all named as keys of the script:
//
//	ACL SETUSER limits on >secret resetchannels ~latchkey:* +eval +evalsha +get +mget +set +time
//
// The clients add commands of their own to open a connection, such as HELLO and
// CLIENT.
package redisstore
